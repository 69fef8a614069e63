"""Attention layers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.probability_map import ProbabilityMap, widened
from regrun.probability_maps.softmax import Softmax


class Attention(nn.Module, ABC):
    """Weighs keys by queries, and mixes values by the weights.

    Attributes:
        tied: whether queries are the keys, too, and share their projection.
        visible: set by whoever wants ``forward`` to be called by ``mix``, in order to see the weights.
    """

    tied = False
    visible = False

    @abstractmethod
    def forward(self, q: Tensor, k: Tensor, causal: bool) -> Tensor:
        """The weights, ``(batch, heads, to, from)``.

        Args:
            q: queries, ``(batch, heads, to, d)``.
            k: keys, ``(batch, heads, from, d)``.
            causal: whether a position sees none later than itself.
        """

    def mix(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """The values as they are weighed, ``(batch, heads, to, d)``."""
        weights: Tensor = self(q, k, causal)
        return weights @ v


def hide_later(scores: Tensor) -> Tensor:
    """Scores with ``-inf`` where the key is later than the query."""
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, -torch.inf)


class DotProductAttention(Attention):
    """A probability map of ``q.k / sqrt(d)``.

    Args:
        probability_map: softmax makes it the usual attention, which is computed by PyTorch's fused kernels.
    """

    def __init__(self, probability_map: ProbabilityMap | None = None) -> None:
        super().__init__()
        self.probability_map = probability_map or Softmax()

    def forward(self, q: Tensor, k: Tensor, causal: bool) -> Tensor:
        scores = self.scores(q, k)
        weights: Tensor = self.probability_map(hide_later(scores) if causal else scores)
        return weights

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """The scores that are mapped to weights, ``(batch, heads, to, from)``."""
        return q @ k.mT / math.sqrt(q.shape[-1])

    def mix(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        if self.visible or type(self.probability_map) is not Softmax:
            return super().mix(q, k, v, causal)
        scale = 1 / (math.sqrt(q.shape[-1]) * self.probability_map.temperature)
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale)


class InverseDistanceAttention(DotProductAttention):
    """Softmax of ``-log |q - k|^p``: weights in proportion to the inverse distance to the power ``p``.

    Inverse distance weighting attention, arXiv 2310.18805.

    Args:
        power: ``p``.
        eps: added to squared distances.
    """

    def __init__(self, power: float = 1.0, eps: float = 1e-8) -> None:
        super().__init__()
        if not (0 < power < math.inf and 0 < eps < math.inf):
            raise ValueError(f"power and eps must be above 0, got {power} and {eps}")
        self.power = power
        self.eps = eps

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        return -self.power / 2 * (squared_distances(q, k) + self.eps).log()

    def mix(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        weights: Tensor = self(q, k, causal)
        return weights @ v


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``|a_i - b_j|^2`` of the last dimension, by ``|a|^2 + |b|^2 - 2 a.b``, at least 0."""
    squares = a.square().sum(-1, keepdim=True) + b.square().sum(-1)[..., None, :]
    return (squares - 2 * a @ b.mT).clamp_min(0)


class LinearAttention(Attention):
    """``phi(q).phi(k)``, normalized, with ``phi = elu + 1``: its cost is linear in the length.

    A query all of whose products round to 0 attends to nothing. Katharopoulos et al., arXiv 2006.16236.
    """

    def forward(self, q: Tensor, k: Tensor, causal: bool) -> Tensor:
        weights = self.features(q) @ self.features(k).mT
        weights = weights.tril() if causal else weights
        return weights / or_one(weights.sum(-1, keepdim=True))

    def mix(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        if self.visible or causal:  # in short sequences the sums over the past would take more than they save
            return super().mix(q, k, v, causal)
        q, k = self.features(q), self.features(k)
        return (q @ (k.mT @ v)) / or_one(q @ k.sum(-2)[..., None])

    @staticmethod
    def features(x: Tensor) -> Tensor:
        """``phi``; in half precision ``elu`` would soon round to -1."""
        return (F.elu(widened(x)) + 1).to(x.dtype)


def or_one(total: Tensor) -> Tensor:
    """The divisor: the total, or 1 if it and all its terms are 0."""
    return total.masked_fill(total == 0, 1)
