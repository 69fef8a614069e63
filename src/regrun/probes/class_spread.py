"""How far the features of a class point apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.task import Task
from regrun.probes.base import Trial
from regrun.probes.samples import SampleProbe, need_classes, need_features


class ClassSpread(SampleProbe):
    """How far penultimate features of a class are apart, in direction and in place, by true labels.

    ``SPLIT_class_spread`` is the mean of ``1 - cos`` between features and their class's mean, 0 where all of
    a class point the same way; ``SPLIT_variance_ratio`` the variance of features around the means of their
    classes over that of these means, sums over coordinates.

    Args:
        samples: number of samples.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    def __init__(self, samples: int = 2000, every: int = 1, split: str = "train") -> None:
        super().__init__(samples, every, split)
        self.metrics = (f"{split}_class_spread", f"{split}_variance_ratio")

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_classes(task)
        need_features(trial)

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        seen = self.look(task)
        assert seen.output.features is not None
        features, y = seen.output.features, seen.clean
        return {
            self.metrics[0]: class_spread(features, y, task.classes),
            self.metrics[1]: variance_ratio(features, y, task.classes),
        }


def class_spread(features: Tensor, y: Tensor, classes: int) -> Tensor:
    """The mean of ``1 - cos`` between features ``(n, width)`` and the mean of their class, in float64."""
    z = features.double()
    total = torch.zeros(classes, z.shape[1], dtype=z.dtype, device=z.device).index_add_(0, y, z)
    return (1 - F.cosine_similarity(z, total[y], dim=1)).mean()


def variance_ratio(features: Tensor, y: Tensor, classes: int) -> Tensor:
    """The variance of features ``(n, width)`` within classes over that between them, in float64.

    Infinite where class means are the same, ``nan`` where all features are.
    """
    z = features.double()
    total = torch.zeros(classes, z.shape[1], dtype=z.dtype, device=z.device).index_add_(0, y, z)
    means = total / torch.bincount(y, minlength=classes).clamp_min(1)[:, None]
    between = (means[y] - z.mean(0)).square().sum()
    return (z - means[y]).square().sum() / between
