"""Reductions of a curve to a number: ``last``, ``steps_to``, ``auc`` and others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.stats import linregress

from regrun.claims.bounds import Bounds
from regrun.claims.expressions import DIVERGES
from regrun.claims.scaling import scaled

Array = NDArray[np.float64]


def reduce_curve(function: str, arguments: tuple[float, ...], steps: Array, values: Array) -> Bounds:
    """Reduce a curve to a number.

    ================================  ==============================================================
    ``last``                          the last value
    ``at(step)``                      the value of the last evaluation not after the step
    ``min``, ``max``, ``mean``        over the evaluations, or over those in ``[from, to]``
    ``auc``                           area under the curve by the trapezoidal rule, per step: the
                                      curve's mean height
    ``slope``                         of the least-squares line, per step
    ``steps_to(level)``               the first step with a value of at least ``level``
    ``steps_down_to(level)``          the first step with a value of at most ``level``
    ``diverges``                      1 where the last value is not finite, else 0
    ================================  ==============================================================

    A run that never reaches a level took more steps than it had. The result is nan if it is undefined: a step
    that the run does not have, the slope of a single evaluation, a nan.

    Args:
        function: name of a reduction above.
        arguments: arguments after the curve.
        steps: increasing, ``(n,)``.
        values: ``(n,)``.
    """
    if len(steps) == 0:
        return Bounds.exact(math.nan)
    if function == DIVERGES:
        return Bounds.exact(0.0 if math.isfinite(values[-1]) else 1.0)
    if function in ("steps_to", "steps_down_to"):
        reached = values >= arguments[0] if function == "steps_to" else values <= arguments[0]
        if reached.any():
            return Bounds.exact(float(steps[reached.argmax()]))
        return Bounds.exact(math.nan) if np.isnan(values).any() else Bounds.more_than(float(steps[-1]))
    if function == "at":
        before = np.flatnonzero(steps <= arguments[0])
        inside = len(before) > 0 and arguments[0] <= steps[-1]
        return Bounds.exact(float(values[before[-1]]) if inside else math.nan)
    if arguments:
        chosen = (steps >= arguments[0]) & (steps <= arguments[1])
        steps, values = steps[chosen], values[chosen]
    with np.errstate(invalid="ignore"):  # infinite values have no slope
        return Bounds.exact(_summary(function, steps, values))


def _summary(function: str, steps: Array, values: Array) -> float:
    if len(values) == 0:
        return math.nan
    if function == "last":
        return float(values[-1])
    if function in ("min", "max"):
        return float(getattr(np, function)(values))
    x, power = scaled(values)
    if function == "mean":
        return float(np.mean(x)) * power
    if len(values) < 2:
        return float(values[0]) if function == "auc" else math.nan
    if function == "auc":
        return float(trapezoid(x, steps) / (steps[-1] - steps[0])) * power
    return float(linregress(steps, x).slope) * power
