"""Weight decay, decoupled or as an L2 penalty's gradient."""

from __future__ import annotations

import math

import torch

from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer


class WeightDecay(Regularizer):
    """Shrinks the weights at every step, with any optimizer.

    Decoupled: ``w <- w - lr * rate * w`` before the optimizer's own update, which with AdamW is exactly
    its ``weight_decay`` (Loshchilov & Hutter, arXiv 1711.05101). Coupled: ``g <- g + rate * w``, the
    gradient of ``rate / 2 * ||w||^2``. Every parameter the optimizer holds decays, at its group's rate.

    Args:
        rate: strength, at least 0.
        decoupled: whether to decay the weights directly, or through the gradient.
    """

    splits = True

    def __init__(self, rate: float = 1.0, decoupled: bool = True) -> None:
        super().__init__()
        if not 0 <= rate < math.inf:
            raise ValueError(f"weight decay's rate must be at least 0, got {rate}")
        self.rate = rate
        self.decoupled = decoupled

    @torch.no_grad()
    def edit_gradients(self, task: Task) -> None:
        for group in task.optimizer.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            if self.decoupled:
                torch._foreach_mul_(weights, 1 - group["lr"] * self.rate)
            else:
                gradients = [weight.grad for weight in weights]
                torch._foreach_add_(gradients, weights, alpha=self.rate)
