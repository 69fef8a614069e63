"""The spectrum of penultimate features."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.measures.spectrum import effective_rank, stable_rank
from regrun.probes.base import Probe


class Moments(Metric):
    """Sums over rows that give their mean and covariance, in float64, over all ranks."""

    full_state_update = False
    count: Tensor
    total: Tensor
    squares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("squares", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, rows: Tensor) -> None:
        """Add rows ``(n, width)``."""
        rows = rows.double()
        self.count = self.count + len(rows)
        self.total = self.total + rows.sum(0)
        self.squares = self.squares + rows.T @ rows

    def compute(self) -> Tensor:
        """The covariance, ``(width, width)``."""
        mean = self.total / self.count
        return self.squares / self.count - mean[:, None] * mean


class FeatureSpectrum(Probe):
    """How the variance of the train samples' penultimate features is spread over directions.

    ``effective_rank`` is the exponential of the entropy of the normalized singular values of the centred
    features (Roy & Vetterli 2007), ``stable_rank`` their squared Frobenius norm over the squared largest;
    ``signal_variance`` the share of the variance in the ``classes - 1``
    leading directions, where a collapsed network has all of it, and ``tail_variance`` the rest, in which
    wrong labels are fitted (*The Malignant Tail*, arXiv 2603.02293). ``nan`` for a model that returns no
    features, or features that are ``nan`` or all the same.
    """

    metrics = ("effective_rank", "stable_rank", "signal_variance", "tail_variance")

    def __init__(self) -> None:
        super().__init__()
        self.moments = Moments()

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        if output.features is not None:
            self.moments.update(output.features)

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        if not self.moments.update_called:
            return dict.fromkeys(self.metrics, float("nan"))
        covariance = self.moments.compute()
        self.moments.reset()
        if not bool(covariance.isfinite().all()):
            return dict.fromkeys(self.metrics, float("nan"))
        variances = torch.linalg.eigvalsh(covariance).clamp_min(0).flip(0)
        signal = variances[: task.classes - 1].sum() / variances.sum()
        return {
            "effective_rank": effective_rank(variances.sqrt()),
            "stable_rank": stable_rank(variances.sqrt()),
            "signal_variance": signal,
            "tail_variance": 1 - signal,
        }
