"""Clipping of the gradient."""

from __future__ import annotations

from torch import nn

from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer


class ClipGradient(Regularizer):
    """Scales the gradient of all parameters down to a maximum joint norm.

    Args:
        norm: above 0.
    """

    splits = True

    def __init__(self, norm: float = 1.0) -> None:
        super().__init__()
        if not norm > 0:
            raise ValueError(f"norm must be above 0, got {norm}")
        self.norm = norm

    def edit_gradients(self, task: Task) -> None:
        nn.utils.clip_grad_norm_(task.model.parameters(), self.norm)
