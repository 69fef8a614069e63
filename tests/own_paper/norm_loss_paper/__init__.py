"""Norm Loss, the paper that CONTRIBUTING.md walks through: a package of a user's own."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.regularizers import Regularizer, Step


class NormLoss(Regularizer):
    """Adds ``rate * sum (1 - ||w_c||)^2`` over the rows ``w_c`` of every weight matrix.

    Rows longer than 1 shrink and shorter ones grow. Georgiou et al., *Norm Loss: An efficient yet effective
    regularization method for deep neural networks*, arXiv 2103.06583.

    Args:
        rate: strength, at least 0.
    """

    def __init__(self, rate: float = 1e-2) -> None:
        super().__init__()
        if rate < 0:
            raise ValueError(f"the norm loss's rate must be at least 0, got {rate}")
        self.rate = rate

    def penalty(self, step: Step) -> Tensor:
        """See the class."""
        matrices = [w for w in step.task.model.parameters() if w.ndim >= 2]
        deviations = [(1 - w.flatten(1).norm(dim=1)).square().sum() for w in matrices]
        return self.rate * torch.stack(deviations).sum()
