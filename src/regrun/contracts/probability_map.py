"""The contract of a probability map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Weighing = Callable[[Tensor, int], Tensor]  # scores and a dimension to weights


class ProbabilityMap(nn.Module, ABC):
    """Maps scores to nonnegative weights along one dimension.

    The scores are logits at a network's output, or one query's scores in attention. A score of ``-inf`` is
    masked: its weight is exactly 0, its log-weight ``-inf``, its gradient 0, and the other weights are as if
    it did not exist. A fully masked row has weights 0, as in PyTorch's attention. A log-weight has no
    gradient where an unmasked weight is 0. A score of ``nan`` is not masked: it makes weights ``nan``. Half
    precision is computed in float32, and the result is rounded back.

    Attributes:
        sums_to_one: whether the weights are probabilities; a rectified map may sum to less.
        positive: whether every weight is above 0, so that its logarithm can be a loss.
    """

    sums_to_one = True
    positive = True

    def forward(self, scores: Tensor, dim: int = -1) -> Tensor:
        """Weights, same shape as ``scores``."""
        return weigh(self.weights, scores, dim)

    def log(self, scores: Tensor, dim: int = -1) -> Tensor:
        """Log-weights, more accurate than ``forward().log()`` if the map has a closed form."""
        return log_weigh(self.log_weights, scores, dim)

    @abstractmethod
    def weights(self, scores: Tensor, dim: int) -> Tensor:
        """``forward`` for rows that are not fully masked."""

    def log_weights(self, scores: Tensor, dim: int) -> Tensor:
        """``log`` for rows that are not fully masked; masked entries may hold anything without gradient."""
        return log_or_nothing(self.weights(scores, dim))


def weigh(weights: Weighing, scores: Tensor, dim: int) -> Tensor:
    """The weights of scores, 0 in fully masked rows."""
    absent = (scores == -torch.inf).all(dim, keepdim=True)
    found = weights(widened(scores.masked_fill(absent, 0)), dim)
    return found.masked_fill(absent, 0).to(scores.dtype)


def log_weigh(log_weights: Weighing, scores: Tensor, dim: int) -> Tensor:
    """The log-weights of scores, ``-inf`` without gradient at masked scores."""
    missing = scores == -torch.inf
    absent = missing.all(dim, keepdim=True)
    found = log_weights(widened(scores.masked_fill(absent, 0)), dim)
    return found.masked_fill(missing, -torch.inf).to(scores.dtype)


def widened(numbers: Tensor) -> Tensor:
    """Cast to float32 at least: half precision is too coarse for a sum of exponentials or a loss."""
    return numbers if numbers.dtype == torch.float64 else numbers.float()


def log_or_nothing(weights: Tensor) -> Tensor:
    """The logarithm, with gradient 0 rather than infinite where a weight is 0."""
    nothing = weights == 0
    return weights.masked_fill(nothing, 1).log().masked_fill(nothing, -torch.inf)
