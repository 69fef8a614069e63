"""Probabilities that need only sums, squares and the target of the logits: the spherical family."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap, log_or_nothing


class TaylorSoftmax(ProbabilityMap):
    """``(1 + z_i + z_i^2 / 2) / sum_j (1 + z_j + z_j^2 / 2)``, with the exponential's series to second order.

    Every term is at least 1/2. Not increasing: large negative scores weigh as much as large positive ones.
    de Brébisson & Vincent, arXiv 1511.05042.
    """

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        grown = self._grown(scores)
        return grown / grown.sum(dim, keepdim=True)

    def log_weights(self, scores: Tensor, dim: int) -> Tensor:
        grown = self._grown(scores)
        return log_or_nothing(grown) - grown.sum(dim, keepdim=True).log()

    @staticmethod
    def _grown(scores: Tensor) -> Tensor:
        there = scores != -torch.inf
        z = scores.where(there, 0)
        return ((1 + (1 + z).square()) / 2).where(there, 0)


class SphericalSoftmax(ProbabilityMap):
    """``(z_i^2 + eps) / sum_j (z_j^2 + eps)``: the scores' signs and common scale do not matter.

    de Brébisson & Vincent, arXiv 1511.05042.

    Args:
        eps: keeps logarithms finite.
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        if not 0 < eps < math.inf:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.eps = eps

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        there = scores != -torch.inf
        grown = (scores.where(there, 0).square() + self.eps).where(there, 0)
        return grown / grown.sum(dim, keepdim=True)
