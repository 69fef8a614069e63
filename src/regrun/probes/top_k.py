"""Whether the label is among the largest logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.aggregation import CatMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.probes.base import Probe, ProbeError, Trial
from regrun.probes.samples import need_classes


class TopK(Probe):
    """``top_k_accuracy/k=K``, the share of a split's samples with fewer than ``K`` logits above the label's.

    Logits that equal the label's are taken in a random order: a sample counts by the probability that fewer
    than ``K`` come before it, so that logits that are all the same are no better than chance. ``nan`` if a
    logit is.

    Args:
        ks: values of ``K``, ascending.
        split: split to measure.
    """

    metrics = ("top_k_accuracy",)

    def __init__(self, ks: Sequence[int] = (1, 5, 10), split: str = "test") -> None:
        super().__init__()
        if not ks or list(ks) != sorted({*ks}) or ks[0] < 1:
            raise ValueError(f"ks must ascend and be at least 1, got {list(ks)}")
        self.ks = ks
        self.split = split
        self.ranks = CatMetric(nan_strategy="disable")

    def attach(self, task: Task, trial: Trial) -> None:
        need_classes(task)
        if self.ks[-1] > task.classes:
            raise ProbeError(f"k={self.ks[-1]} is larger than the number of classes, {task.classes}")

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        self.ranks.update(ranks(output.logits, batch.y))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        above, equal = torch.as_tensor(self.ranks.compute()).double().unbind(1)
        self.ranks.reset()
        return {f"top_k_accuracy/k={k}": ((k - above) / equal).clamp(0, 1).mean() for k in self.ks}


def ranks(z: Tensor, y: Tensor) -> Tensor:
    """How many logits lie above the label's, and how many equal it, itself included: ``(batch, 2)``."""
    own = z.gather(1, y[:, None])
    found = torch.stack([(z > own).sum(1), (z == own).sum(1)], 1).float()
    return found.masked_fill(z.isnan().any(1, keepdim=True), torch.nan)
