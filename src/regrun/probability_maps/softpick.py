"""Softpick: a rectified softmax that may pick nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap


class Softpick(ProbabilityMap):
    """``relu(exp(z_i) - 1) / (sum_j |exp(z_j) - 1| + eps)``.

    Scores of at most 0 get nothing, and still count below the line, so that they are taught; the sum is at
    most 1. Zuhri et al., arXiv 2504.20966.

    Args:
        eps: keeps the ratio finite where all scores are near 0.
    """

    sums_to_one = False
    positive = False

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        if not 0 < eps < math.inf:
            raise ValueError(f"eps must be above 0, got {eps}")
        self.eps = eps

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        there = scores != -torch.inf
        # Both sides are divided by exp(m), with m at least 0 so that exp(-m) cannot overflow.
        m = scores.amax(dim, keepdim=True).clamp_min(0).detach()
        grown = ((scores - m).exp() - (-m).exp()).where(there, 0)
        return grown.relu() / (grown.abs().sum(dim, keepdim=True) + self.eps * (-m).exp())
