"""Soft orthogonality, the paper that CONTRIBUTING.md walks through: a package of a user's own."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.regularizers import Regularizer, Step


class SoftOrthogonality(Regularizer):
    """Adds ``rate * sum ||W W^T - I||_F^2`` over all weight matrices, the shorter side of each as rows.

    Rows become orthonormal. Bansal et al., *Can We Gain More from Orthogonality Regularizations in Training
    Deep CNNs?*, arXiv 1810.09102.

    Args:
        rate: strength, at least 0.
    """

    def __init__(self, rate: float = 1e-2) -> None:
        super().__init__()
        if rate < 0:
            raise ValueError(f"the rate of soft orthogonality must be at least 0, got {rate}")
        self.rate = rate

    def penalty(self, step: Step) -> Tensor:
        matrices = [w.flatten(1) for w in step.task.model.parameters() if w.ndim >= 2]
        grams = [w @ w.T if len(w) <= w.shape[1] else w.T @ w for w in matrices]
        deviations = [(gram - torch.eye(len(gram)).to(gram)).square().sum() for gram in grams]
        return self.rate * torch.stack(deviations).sum()
