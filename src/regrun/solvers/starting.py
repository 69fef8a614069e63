"""The first step, and what can be said before it."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import torch
from torch import Tensor

from regrun.solvers.errors import NonFiniteFieldError, ToleranceWarning
from regrun.solvers.stepping import Field, Norm, at_time


@torch.no_grad()
def first_step_size(
    field: Field,
    t: float,
    end: float,
    y: Tensor,
    first: Tensor,
    order: int,
    rtol: float,
    atol: float,
    norm: Norm,
) -> float:
    """The length of a step whose error is about the tolerance; takes one evaluation.

    Hairer, Nørsett and Wanner, *Solving Ordinary Differential Equations I*, II.4.
    """
    scale = y.abs() * rtol + max(atol, torch.finfo(y.dtype).tiny)
    size, slope = float(norm(y / scale).max()), float(norm(first / scale).max())
    guess = 1e-6 if min(size, slope) < 1e-5 else 0.01 * size / slope
    if not 0 < guess < math.inf:
        return 1e-6 * abs(end - t)
    guess = min(guess, abs(end - t))
    h = math.copysign(guess, end - t)
    ahead = field(at_time(t + h, y), y + h * first)
    bend = float(norm((ahead - first) / scale).max()) / guess
    steepest = max(slope, bend)
    if not math.isfinite(steepest):
        return guess
    trial = max(1e-6, guess * 1e-3) if steepest <= 1e-15 else (0.01 / steepest) ** (1 / order)
    return min(100 * guess, trial, abs(end - t))


def check_times(times: Tensor) -> list[float]:
    """The times as numbers.

    Raises:
        ValueError: unless there are two at least, and they ascend or descend.
    """
    values = [float(t) for t in times.detach().double().flatten().tolist()]
    if len(values) < 2:
        raise ValueError(f"times must be two at least, the initial one first; got {len(values)}")
    steps = [b - a for a, b in pairwise(values)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise ValueError("times must ascend, or descend, without two the same")
    return values


def check_tolerance(rtol: float, atol: float, y: Tensor) -> None:
    """Warn of a tolerance that the state's floating-point format does not resolve.

    Raises:
        ValueError: if a tolerance is negative, or both are 0, or the state is not of real numbers.
    """
    if not y.is_floating_point():
        raise ValueError(f"the state must be of real numbers, got {y.dtype}")
    if rtol < 0 or atol < 0 or rtol + atol == 0:
        raise ValueError(f"rtol and atol must be at least 0 and not both 0, got {rtol} and {atol}")
    resolved = torch.finfo(y.dtype).eps
    size = float(y.detach().square().mean().sqrt())
    if atol + rtol * size < 2 * resolved * size:
        warnings.warn(
            f"rtol = {rtol:.1e} is below what {str(y.dtype).removeprefix('torch.')} resolves; "
            f"the smallest sensible is about {10 * resolved:.0e} (compute in float64 for less)",
            ToleranceWarning,
            stacklevel=3,
        )


def check_finite(x: Tensor, t: float, h: float) -> None:
    """Raise ``NonFiniteFieldError`` for the first entry that is infinite or not a number."""
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        raise NonFiniteFieldError(t, h, tuple(bad[0].tolist()))
