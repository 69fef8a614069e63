"""The first step's size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.solvers.stepping import Field, evaluate
from regrun.solvers.tolerance import Norm


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
    ahead = evaluate(field, t + h, y + h * first)
    bend = float(norm((ahead - first) / scale).max()) / guess
    steepest = max(slope, bend)
    if not math.isfinite(steepest):
        return guess
    trial = max(1e-6, guess * 1e-3) if steepest <= 1e-15 else (0.01 / steepest) ** (1 / order)
    return min(100 * guess, trial, abs(end - t))
