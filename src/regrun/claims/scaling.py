"""Scaling of numbers whose sum or square would overflow or underflow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LARGE = 2.0**400  # numbers below it and above its inverse are not scaled


def scaled(values: Sequence[float] | NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Divide numbers by a power of two, which is exact; the power is 1 for ordinary numbers.

    Args:
        values: any numbers; the power follows from the largest finite one.

    Returns:
        the quotients, at most 2 if the power is not 1, and the power. A homogeneous function of the values is
        computed from the quotients and multiplied by the power.
    """
    x = np.asarray(values, dtype=float)
    largest = float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
    if largest == 0 or 1 / LARGE <= largest <= LARGE:
        return x, 1.0
    power = 2.0 ** max(math.frexp(largest)[1] - 1, -1021)
    return x / power, power


def middle(low: float, high: float) -> float:
    """The mean of two numbers, without overflow."""
    return low if low == high else low / 2 + high / 2


def arithmetic_mean(values: Sequence[float]) -> float:
    """The mean; infinite if a value is, nan if two have opposite infinities."""
    if math.inf in values and -math.inf in values:
        return math.nan
    x, power = scaled(values)
    return math.fsum(x) / len(x) * power


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values, infinite if one is."""
    try:
        return math.exp(arithmetic_mean([math.log(value) for value in values]))
    except OverflowError:  # by rounding
        return math.inf
