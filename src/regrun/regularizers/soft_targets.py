"""Targets that a teacher gave."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.probability_maps.softmax import check_temperature
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_probabilities


class SoftTargets(Regularizer):
    """Replaces the loss by cross-entropy with a teacher's probabilities, mixed with that with the labels.

    ``(1 - share) CE(y, p) + share T^2 CE(softmax(t / T), softmax(z / T))`` with the teacher's logits ``t``
    and the student's ``z``; ``T^2`` keeps the gradients' size. Hinton et al., arXiv 1503.02531. The procedure
    ``distillation`` brings the teacher.

    Args:
        share: weight of the teacher's term, in ``[0, 1]``.
        temperature: ``T``.
    """

    teacher: Tensor

    splits = True

    def __init__(self, share: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        check_temperature(temperature)
        self.share = share
        self.temperature = temperature
        self.register_buffer("teacher", torch.empty(0), persistent=False)

    def teach(self, logits: Tensor) -> None:
        """Take the teacher's logits of all train samples, ``(n, classes)``."""
        self.teacher = logits

    def attach(self, task: Task) -> None:
        """Check that there is a teacher.

        Raises:
            ValueError: if there is none, or not for every train sample.
        """
        if len(self.teacher) != task.train_samples:
            raise ValueError("soft_targets needs a teacher: choose procedure=distillation")

    def loss(self, step: Step) -> Tensor:
        z, t = widened(step.output.logits), self.temperature
        taught = (self.teacher[step.batch.index].to(z) / t).softmax(-1)
        soft = -(taught * (z / t).log_softmax(-1)).sum(-1).mean() * t**2
        if self.share == 1:
            return soft
        y = as_probabilities(step.batch.y, z.shape[-1], z).to(z)
        return (1 - self.share) * F.cross_entropy(z, y) + self.share * soft
