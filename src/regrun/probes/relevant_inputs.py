"""How much of the first layer's weight is on the inputs that matter."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.inputs import Features
from regrun.contracts.task import Task
from regrun.probes.base import Probe, ProbeError, Trial


class RelevantInputs(Probe):
    """``relevant_weight``: the mean squared first-layer weight of the first inputs, over that of all.

    1 at the beginning, ``inputs / count`` where the layer has found out. With one relevant input it is the
    alignment ``D b^T M b / (|b|^2 tr M)`` of the weights' Gram matrix ``M`` with the target's direction ``b``
    (Kumar et al., arXiv 2310.06110).

    Args:
        count: number of leading inputs that matter.
    """

    metrics = ("relevant_weight",)

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count = count

    def attach(self, task: Task, trial: Trial) -> None:
        first = self.first(task)
        if not isinstance(task.inputs, Features) or first is None or self.count > first.shape[1]:
            raise ProbeError("the model has no first layer on a vector of inputs")

    def first(self, task: Task) -> Tensor | None:
        """The first layer's weights, ``(units, inputs)``."""
        matrices = [w for w in task.model.parameters() if w.ndim == 2]
        return matrices[0].detach() if matrices else None

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        weight = self.first(task)
        assert weight is not None
        squares = weight.double().square()
        return {"relevant_weight": squares[:, : self.count].mean() / squares.mean()}
