"""Softmax with a temperature."""

from __future__ import annotations

import math

from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap


class Softmax(ProbabilityMap):
    """``exp(z_i / T) / sum_j exp(z_j / T)``.

    Args:
        temperature: ``T``; above 1 it flattens, below it sharpens.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        check_temperature(temperature)
        self.temperature = temperature

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        return (scores / self.temperature).softmax(dim)

    def log_weights(self, scores: Tensor, dim: int) -> Tensor:
        return (scores / self.temperature).log_softmax(dim)


def check_temperature(temperature: float) -> None:
    """Raise ``ValueError`` unless it is above 0 and finite."""
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"a temperature must be above 0, got {temperature}")
