"""The contract of a probability map."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class ProbabilityMap(nn.Module, ABC):
    """Turns scores into weights that are at least 0, along one dimension.

    At a network's output the scores are logits, in attention those of one query. A score of ``-inf`` is one
    that is not there: its weight is 0, and the others are as if it did not exist.

    Attributes:
        sums_to_one: whether the weights are probabilities; a rectified map may give nothing to anyone.
        positive: whether every weight is above 0, so that its logarithm can be a loss.
    """

    sums_to_one = True
    positive = True

    @abstractmethod
    def forward(self, scores: Tensor, dim: int = -1) -> Tensor:
        """The weights, of the shape of ``scores``."""

    def log(self, scores: Tensor, dim: int = -1) -> Tensor:
        """The logarithms of the weights, more accurate where a map has a form of its own."""
        weights: Tensor = self(scores, dim)
        return weights.log()
