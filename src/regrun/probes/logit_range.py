"""How far logits are apart, and how many of their probabilities are not 0."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MaxMetric, MeanMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.probability_map import ProbabilityMap
from regrun.contracts.task import Task
from regrun.probes.base import Probe, Trial
from regrun.probes.samples import need_classes


class LogitRange(Probe):
    """``logit_range``, the mean over a split of the largest logit less the smallest, and what it does.

    ``saturation`` is the share of samples whose label's softmax probability is above ``threshold``;
    ``support`` the largest number of classes whose probability is not 0, ``nan`` if the loss has none. All
    are ``nan`` if a logit is.

    Args:
        threshold: in ``(0, 1)``.
        split: split to measure.
    """

    metrics = ("logit_range", "saturation", "support")

    def __init__(self, threshold: float = 0.99, split: str = "test") -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        self.threshold = threshold
        self.split = split
        self.range = MeanMetric(nan_strategy="disable")
        self.sure = MeanMetric(nan_strategy="disable")
        self.support = MaxMetric(nan_strategy="disable")
        self.probability_map: ProbabilityMap | None = None

    def attach(self, task: Task, trial: Trial) -> None:
        need_classes(task)
        self.probability_map = task.probability_map

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        z = output.logits.double()
        unknown = z.isnan().any(1)
        self.range.update(z.amax(1) - z.amin(1))
        sure = z.softmax(1).gather(1, batch.y[:, None]).squeeze(1) > self.threshold
        self.sure.update(sure.double().masked_fill(unknown, torch.nan))
        if self.probability_map is not None:
            support = (self.probability_map(z) > 0).sum(1).double()
            self.support.update(support.masked_fill(unknown, torch.nan))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        row: dict[str, float | Tensor] = {
            "logit_range": self.range.compute(),
            "saturation": self.sure.compute(),
            "support": float("nan") if self.probability_map is None else self.support.compute(),
        }
        for metric in (self.range, self.sure, self.support):
            metric.reset()
        return row
