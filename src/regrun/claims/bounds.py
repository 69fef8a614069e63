"""Interval arithmetic for censored values, such as the steps of a run that never reached a level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """A number in ``[low, high]``; exact if the two are equal, unknown if they are nan.

    The operators are those of interval arithmetic.
    """

    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Bounds:
        """A known number."""
        return cls(value, value)

    @classmethod
    def more_than(cls, value: float) -> Bounds:
        """A number known only to exceed a lower bound."""
        return cls(math.nextafter(value, math.inf), math.inf)

    @property
    def is_exact(self) -> bool:
        """Whether the number is exact."""
        return self.low == self.high

    @property
    def is_unknown(self) -> bool:
        """Whether the number is nan."""
        return math.isnan(self.low) or math.isnan(self.high)

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Bounds:
        return Bounds(-self.high, -self.low)

    def __sub__(self, other: Bounds) -> Bounds:
        return self + -other

    def __mul__(self, other: Bounds) -> Bounds:
        return _hull([_product(a, b) for a in (self.low, self.high) for b in (other.low, other.high)])

    def __truediv__(self, other: Bounds) -> Bounds:
        if other.is_exact and other.low == 0:
            return Bounds(math.nan, math.nan)
        if other.low <= 0 <= other.high:
            return Bounds(-math.inf, math.inf)
        return self * Bounds(1 / other.high, 1 / other.low)

    def __abs__(self) -> Bounds:
        if self.low <= 0 <= self.high:
            return Bounds(0.0, max(-self.low, self.high))
        return _hull([abs(self.low), abs(self.high)])

    def apply(self, increasing: Callable[[float], float]) -> Bounds:
        """Apply an increasing function to the number."""
        return Bounds(increasing(self.low), increasing(self.high))


def log(value: float) -> float:
    """The natural logarithm, -inf at 0 and nan below."""
    if math.isnan(value) or value < 0:
        return math.nan
    return math.log(value) if value else -math.inf


def _product(a: float, b: float) -> float:
    # An infinite end is a limit: times 0 it is 0.
    return 0.0 if a == 0 or b == 0 else a * b


def _hull(values: list[float]) -> Bounds:
    return Bounds(math.nan, math.nan) if any(map(math.isnan, values)) else Bounds(min(values), max(values))
