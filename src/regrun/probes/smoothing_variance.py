"""How much gradients of batches vary, with labels as they are and smoothed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.probes.base import Probe, Trial
from regrun.probes.samples import need_classes, need_full_precision


class SmoothingVariance(Probe):
    """The variance of the gradient over batches of the train split, in evaluation mode.

    ``hard_variance`` is the mean squared distance of the gradients of cross-entropy from their mean, with
    labels as they are, ``smooth_variance`` that with labels smoothed by ``share`` at the same weights, and
    ``smooth_deviation`` the mean squared distance of the latter from the mean of the former, which is what
    stands in for it. ``hard_gradient`` is the squared norm of the mean of the former. Costs ``2 batches``
    gradients. Xu et al., arXiv 2006.11653.

    Args:
        share: weight of the uniform distribution.
        batches: number of fixed batches.
        size: samples of each.
        every: evaluations from one measurement to the next.
    """

    metrics = ("hard_variance", "smooth_variance", "smooth_deviation", "hard_gradient")

    def __init__(self, share: float = 0.4, batches: int = 64, size: int = 32, every: int = 1) -> None:
        super().__init__()
        if not 0 < share < 1 or min(batches, size) < 2 or every < 1:
            raise ValueError(
                "share must lie in (0, 1), batches and size be at least 2 and every at least 1, "
                f"got {share}, {batches}, {size} and {every}"
            )
        self.share = share
        self.batches = batches
        self.size = size
        self.every = every

    def attach(self, task: Task, trial: Trial) -> None:
        need_classes(task)
        need_full_precision(trial)

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        samples = task.splits_on_device().train
        generator = torch.Generator().manual_seed(0)
        hard: list[Tensor] = []
        smooth: list[Tensor] = []
        with measuring(task.model):
            for _ in range(self.batches):
                index = torch.randperm(len(samples), generator=generator)[: self.size].to(samples.x.device)
                batch = Batch(task.inputs.prepare(samples.x[index]), samples.y[index], index)
                for share, rows in ((0.0, hard), (self.share, smooth)):
                    loss = SmoothedCrossEntropy(share)
                    rows.append(Landscape(task.model, loss, batch).gradient().double())
        first, second = torch.stack(hard), torch.stack(smooth)
        mean = first.mean(0)
        return {
            "hard_variance": (first - mean).square().sum(1).mean(),
            "smooth_variance": (second - second.mean(0)).square().sum(1).mean(),
            "smooth_deviation": (second - mean).square().sum(1).mean(),
            "hard_gradient": mean.square().sum(),
        }


class SmoothedCrossEntropy:
    """Cross-entropy of labels smoothed by ``share``, of an output and a batch."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """The mean."""
        return F.cross_entropy(output.logits, batch.y, label_smoothing=self.share)
