"""Numbers near the ends of what a float holds, of which even a sum or a square is too much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGE = 2.0**400  # what is below, and above its inverse, is computed with as it stands


def scaled(values: Sequence[float] | NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Numbers divided by a power of two, which rounds nothing, and that power; 1 for ordinary ones.

    Args:
        values: any; of the largest that is finite the power follows.

    Returns:
        the quotients, at most 2 where the power is not 1, and the power: what is homogeneous in the values
        is computed of the quotients and multiplied by it.
    """
    x = np.asarray(values, dtype=float)
    largest = float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
    if largest == 0 or 1 / LARGE <= largest <= LARGE:
        return x, 1.0
    power = 2.0 ** max(math.frexp(largest)[1] - 1, -1021)
    return x / power, power


def middle(low: float, high: float) -> float:
    """The mean of two numbers, of any size."""
    return low if low == high else low / 2 + high / 2


def arithmetic_mean(values: Sequence[float]) -> float:
    """The mean; infinite where a value is, nan where two are on opposite sides."""
    if math.inf in values and -math.inf in values:
        return math.nan
    x, power = scaled(values)
    return math.fsum(x) / len(x) * power


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values, infinite where one is."""
    try:
        return math.exp(arithmetic_mean([math.log(value) for value in values]))
    except OverflowError:  # by a rounding
        return math.inf
