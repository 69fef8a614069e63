"""How the next step size follows from the errors of the last steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

Number = TypeVar("Number", float, Tensor)
LEAST_ERROR = 1e-10  # errors below it ask for the largest growth anyway


@dataclass(frozen=True)
class Controller:
    """A PID controller of the step size; integral alone by default, which is the classical choice.

    After a step whose error, in units of the tolerance, is ``e_n``, the next is longer by the factor
    ``safety * e_n^(-(p + i + d) / k) * e_(n-1)^((p + 2 d) / k) * e_(n-2)^(-d / k)``, within bounds, where
    ``k`` is the power of the step size in the error estimate. After a rejected step it is never longer.
    Söderlind, *Digital filters in adaptive time-stepping*, ACM TOMS 29 (2003).

    Args:
        proportional: ``p``; 0.3 or 0.4, with ``integral`` 0.3, damps oscillations of the step size.
        integral: ``i``.
        derivative: ``d``.
        safety: below 1.
        shrink: the smallest factor.
        grow: the largest.
    """

    proportional: float = 0.0
    integral: float = 1.0
    derivative: float = 0.0
    safety: float = 0.9
    shrink: float = 0.2
    grow: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.proportional + self.integral + self.derivative < math.inf:
            raise ValueError(
                "proportional, integral and derivative of a step size controller must add up to more than 0, "
                f"got {self.proportional}, {self.integral} and {self.derivative}"
            )
        if not 0 < self.shrink < self.safety <= 1 < self.grow:
            raise ValueError(
                "a step size controller wants 0 < shrink < safety <= 1 < grow, "
                f"got {self.shrink}, {self.safety} and {self.grow}"
            )

    def factor(self, order: float, error: Number, last: Number, before: Number) -> Number:
        """The factor by which to multiply the step.

        Args:
            order: the power of the step size in the error estimate.
            error: error of this step, in units of the tolerance, at least ``LEAST_ERROR``; a number, or one
                per sample.
            last: error of the last accepted step, 1 at first.
            before: error of the step before that.
        """
        p, i, d = self.proportional / order, self.integral / order, self.derivative / order
        result = self.safety * error ** -(p + i + d)
        if p or d:
            result = result * last ** (p + 2 * d) * before**-d
        if isinstance(result, Tensor):
            return result.clamp(self.shrink, self.grow)  # type: ignore[return-value]  # of the same kind
        return min(max(result, self.shrink), self.grow)
