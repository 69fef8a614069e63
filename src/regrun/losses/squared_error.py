"""Squared error to one-hot labels."""

from __future__ import annotations

from torch import Tensor

from regrun.losses.base import ClassificationLoss, as_probabilities


class SquaredError(ClassificationLoss):
    """The mean, over classes, of squared distances to one-hot labels. The logits are no probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.probability_map = None

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        return (logits - as_probabilities(y, logits)).square().mean(-1)
