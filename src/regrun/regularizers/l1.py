"""The L1 penalty."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.inputs import is_under_vmap
from regrun.contracts.task import Step
from regrun.regularizers.base import Regularizer


class L1(Regularizer):
    """Adds ``rate * sum |w|`` over every parameter of the model to the loss (Tibshirani's lasso, 1996).

    Args:
        rate: strength, at least 0.
    """

    def __init__(self, rate: float = 1e-5) -> None:
        super().__init__()
        if not 0 <= rate < math.inf:
            raise ValueError(f"the L1 penalty's rate must be at least 0, got {rate}")
        self.rate = rate

    def penalty(self, step: Step) -> Tensor:
        weights = step.task.model.parameters()
        norms = [w.abs().sum() for w in weights if w.requires_grad or is_under_vmap(w)]  # where none says so
        return self.rate * torch.stack(norms).sum()
