"""Softmax collapse: the share of samples whose softmax has lost its wrong classes to rounding."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.losses.cross_entropy import DTYPES
from regrun.probes.base import Probe


class SoftmaxCollapse(Probe):
    """``softmax_collapse``: share of train samples with ``sum_j exp(z_j - z_max)`` equal to 1 in ``dtype``.

    Such a sample's loss is exactly zero, so it no longer teaches the correct class. Rounding sets in at a
    margin of about 7.6 in float16, 16.6 in float32 and 36.7 in float64. Prieto et al., arXiv 2501.04697.
    ``nan`` if a logit is. Means nothing where the loss is not softmax cross-entropy in that format.

    Args:
        dtype: the format the loss is computed in: ``float16``, ``float32`` or ``float64``.
    """

    splits = True
    metrics = ("softmax_collapse",)

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.dtype = DTYPES[dtype]
        self.share = MeanMetric(nan_strategy="disable")

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        collapsed = is_collapsed(output.logits, self.dtype).float()
        self.share.update(collapsed.masked_fill(output.logits.isnan().any(-1), torch.nan))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        value = self.share.compute()
        self.share.reset()
        return {"softmax_collapse": value}


def is_collapsed(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Which rows' ``sum_j exp(z_j - z_max)`` rounds to exactly 1 in ``dtype``: bool ``(batch,)``."""
    z = logits.to(dtype)
    return (z - z.amax(-1, keepdim=True)).exp().sum(-1) == 1
