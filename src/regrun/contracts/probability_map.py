"""The contract of a probability map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

Weighing = Callable[[Tensor, int], Tensor]  # of scores, along a dimension


class ProbabilityMap(nn.Module, ABC):
    """Turns scores into weights that are at least 0, along one dimension.

    At a network's output the scores are logits, in attention those of one query. A score of ``-inf`` is one
    that is not there: its weight is exactly 0, the logarithm ``-inf``, the gradient 0, and the others are as
    if it did not exist. In a row where none is there, all weights are 0, as in PyTorch's attention. A
    logarithm has no gradient either where a weight is 0 though its score is there. A score of ``nan`` is
    never taken for one that is not there: it makes weights ``nan``. Half precision is computed in float32,
    and the weights are rounded.

    Attributes:
        sums_to_one: whether the weights are probabilities; a rectified map may give nothing to anyone.
        positive: whether every weight is above 0, so that its logarithm can be a loss.
    """

    sums_to_one = True
    positive = True

    def forward(self, scores: Tensor, dim: int = -1) -> Tensor:
        """The weights, of the shape of ``scores``."""
        return weigh(self.weights, scores, dim)

    def log(self, scores: Tensor, dim: int = -1) -> Tensor:
        """The logarithms of the weights, more accurate where a map has a form of its own."""
        return log_weigh(self.log_weights, scores, dim)

    @abstractmethod
    def weights(self, scores: Tensor, dim: int) -> Tensor:
        """``forward`` of rows in which some score is there."""

    def log_weights(self, scores: Tensor, dim: int) -> Tensor:
        """``log`` of rows in which some score is there; of scores that are not, anything without gradient."""
        return log_or_nothing(self.weights(scores, dim))


def weigh(weights: Weighing, scores: Tensor, dim: int) -> Tensor:
    """The weights of scores, 0 in rows where none is there."""
    absent = (scores == -torch.inf).all(dim, keepdim=True)
    found = weights(widened(scores.masked_fill(absent, 0)), dim)
    return found.masked_fill(absent, 0).to(scores.dtype)


def log_weigh(log_weights: Weighing, scores: Tensor, dim: int) -> Tensor:
    """The logarithms of weights, ``-inf`` and without gradient where a score is not there."""
    missing = scores == -torch.inf
    absent = missing.all(dim, keepdim=True)
    found = log_weights(widened(scores.masked_fill(absent, 0)), dim)
    return found.masked_fill(missing, -torch.inf).to(scores.dtype)


def widened(numbers: Tensor) -> Tensor:
    """In float32 at least: half precision has too few digits for a sum of exponentials, or for a loss."""
    return numbers if numbers.dtype == torch.float64 else numbers.float()


def log_or_nothing(weights: Tensor) -> Tensor:
    """The logarithm, whose gradient is 0 rather than infinite where a weight is 0."""
    nothing = weights == 0
    return weights.masked_fill(nothing, 1).log().masked_fill(nothing, -torch.inf)
