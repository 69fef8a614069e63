"""How far the weights have come, and how they are shared among layers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.probes.base import Probe, Trial


class WeightGeometry(Probe):
    """The weights against those at the beginning, and layer against layer.

    ``weight_change`` is ``|w - w_0| / |w_0|``, small in lazy training; ``weight_cosine`` the cosine between
    ``w`` and ``w_0``; ``norm_growth`` is ``|w| / |w_0|``. ``layer_imbalance`` is the largest difference of
    squared norms of two consecutive weight matrices, over their sum: gradient flow on a ReLU network without
    biases keeps the differences as they are, and weight decay levels them (Du et al., arXiv 1806.00900).
    Costs nothing to speak of but a copy of the weights.
    """

    metrics = ("weight_change", "weight_cosine", "norm_growth", "layer_imbalance")
    initial: Tensor

    def attach(self, task: Task, trial: Trial) -> None:
        """Remember the weights."""
        self.register_buffer("initial", flat(task).clone())

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        now, then = flat(task).double(), self.initial.double()
        squares = [w.double().square().sum() for w in task.model.parameters() if w.ndim > 1]
        row: dict[str, float | Tensor] = {
            "weight_change": (now - then).norm() / then.norm(),
            "weight_cosine": torch.cosine_similarity(now, then, dim=0),
            "norm_growth": now.norm() / then.norm(),
        }
        if len(squares) > 1:
            row["layer_imbalance"] = max((a - b).abs() / (a + b) for a, b in pairwise(squares))
        return row


def flat(task: Task) -> Tensor:
    """All trainable parameters as one vector."""
    return torch.cat([p.detach().reshape(-1) for p in task.model.parameters() if p.requires_grad])
