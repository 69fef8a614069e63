"""Samples of a categorical distribution that have a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap
from regrun.probability_maps.softmax import check_temperature


class GumbelSoftmax(ProbabilityMap):
    """Random weights ``softmax((z + g) / T)`` with standard Gumbel noise ``g``.

    As ``T`` falls to 0 they become a one-hot sample of ``softmax(z)``. Jang et al., arXiv 1611.01144.

    Args:
        temperature: ``T``.
        hard: whether the weights are one-hot, with the gradient of the soft ones (straight-through).
    """

    positive = False

    def __init__(self, temperature: float = 1.0, hard: bool = False) -> None:
        super().__init__()
        check_temperature(temperature)
        self.temperature = temperature
        self.hard = hard

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        soft = ((scores + gumbel_noise(scores)) / self.temperature).softmax(dim)
        return straight_through(soft, dim) if self.hard else soft


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel variables, ``-log(-log(u))``; finite in any format."""
    return -torch.empty_like(like).exponential_().clamp_min(torch.finfo(like.dtype).tiny).log()


def straight_through(soft: Tensor, dim: int = -1) -> Tensor:
    """One-hot at the largest weight, with the gradient of the weights."""
    hard = torch.zeros_like(soft).scatter(dim, soft.argmax(dim, keepdim=True), 1)
    return hard - soft.detach() + soft
