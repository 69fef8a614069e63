"""A teacher's labels where it is sure, true ones where it is not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.regularizers.soft_targets import SoftTargets

REGIONS = ("background", "unsure", "sure")


class RegionLabels(SoftTargets):
    """Replaces the loss by cross-entropy with labels that depend on how sure a teacher is of a stored crop.

    By its largest probability a crop is background below ``low`` and is left out, unsure below ``middle`` and
    has its true label, smoothed, and else has the teacher's probabilities. With both at 0 all crops have
    these (FKD, Shen & Xing, arXiv 2112.01528). Shen, *FerKD*, arXiv 2312.17473.

    Args:
        low: in ``[0, 1]``.
        middle: at least ``low``.
        smoothing: share of the uniform distribution in the labels of unsure crops.
        shuffled: whether regions are given to crops at random, in the same numbers.
    """

    region: Tensor
    targets: Tensor

    couples = True

    def __init__(
        self, low: float = 0.25, middle: float = 0.45, smoothing: float = 0.1, shuffled: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= low <= middle <= 1 or not 0 <= smoothing < 1:
            raise ValueError(
                "low and middle must ascend within [0, 1] and smoothing lie in [0, 1), "
                f"got {low}, {middle} and {smoothing}"
            )
        self.low = low
        self.middle = middle
        self.smoothing = smoothing
        self.shuffled = shuffled

    def teach(self, logits: Tensor) -> None:
        """Take the teacher's logits of all stored crops, ``(n, classes)``, and tell the regions."""
        super().teach(logits)
        confidence = logits.softmax(1).amax(1)
        region = (confidence >= self.low).long() + (confidence >= self.middle).long()
        if self.shuffled:
            order = torch.randperm(len(region), generator=torch.Generator().manual_seed(0))
            region = region[order.to(region.device)]
        self.register_buffer("region", region, persistent=False)

    def attach(self, task: Task) -> None:
        """Write down every crop's label."""
        super().attach(task)
        y = task.splits_on_device().train.y
        taught = widened(self.teacher).softmax(1)
        even = taught.new_full((1,), 1 / task.classes)
        true = F.one_hot(y, task.classes).to(taught).lerp(even, self.smoothing)
        unsure = (self.region == 1)[:, None]
        self.register_buffer("targets", torch.where(unsure, true, taught), persistent=False)

    def loss(self, step: Step) -> Tensor:
        index, z = step.batch.index, widened(step.output.logits)
        losses = F.cross_entropy(z, self.targets[index].to(z), reduction="none")
        kept = (self.region[index] > 0).to(z)
        return (losses * kept).sum() / kept.sum().clamp_min(1)
