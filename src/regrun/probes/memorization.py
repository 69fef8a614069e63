"""Predictions on samples with wrong labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAUROC

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.data.criteria import is_right
from regrun.probes.base import Probe


class Memorization(Probe):
    """Shares of the train samples with a wrong label that are predicted as that label and as the true one.

    ``memorized`` is the share that is predicted as the wrong label, ``corrected`` the share that is predicted
    as the true class, ``loss_separation`` the area under the ROC curve with which the loss tells wrong labels
    from right ones, ties counting half. All are ``nan`` where no label is wrong, or a logit is ``nan``.
    """

    metrics = ("memorized", "corrected", "loss_separation")

    def __init__(self) -> None:
        super().__init__()
        self.memorized = MeanMetric(nan_strategy="disable")
        self.corrected = MeanMetric(nan_strategy="disable")
        self.separation = BinaryAUROC(validate_args=False)
        self.probability = MeanMetric(nan_strategy="disable")  # nan if one is, which sorting would hide

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        wrong = batch.y != clean
        # One minus the label's probability is ordered as its loss is, and lies in [0, 1].
        p = output.logits.float().softmax(1).gather(1, batch.y[:, None]).squeeze(1)
        self.separation.update(1 - p, wrong.long())
        self.probability.update(p)
        self.memorized.update(is_right(output.logits[wrong], batch.y[wrong]).float())
        self.corrected.update(is_right(output.logits[wrong], clean[wrong]).float())

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        metrics = (self.memorized, self.corrected, self.separation, self.probability)
        memorized, corrected, separation, probability = (metric.compute() for metric in metrics)
        for metric in metrics:
            metric.reset()
        if memorized.isnan() or probability.isnan():  # no wrong label on any rank, or a network that diverged
            memorized = corrected = separation = torch.full_like(separation, torch.nan)
        return {"memorized": memorized, "corrected": corrected, "loss_separation": separation}
