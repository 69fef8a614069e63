"""Stochastic differential equations, solved adaptively and differentiably."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from regrun.solvers.brownian import BrownianPath, Increment
from regrun.solvers.checking import (
    check_finite,
    check_first_step,
    check_resolution,
    check_state,
    check_steps,
    check_times,
    check_tolerances,
)
from regrun.solvers.combination import combine
from regrun.solvers.controller import LEAST_ERROR, Controller
from regrun.solvers.errors import MaxStepsError, StepSizeUnderflowError
from regrun.solvers.marching import smallest_step, stacked_stiffness
from regrun.solvers.solution import Segment, Solution, Statistics
from regrun.solvers.stepping import Field, Step, evaluate, quotient
from regrun.solvers.tolerance import Norm, Tolerance, root_mean_square

# Rössler's SRIW1, SIAM J. Numer. Anal. 48 (2010): strong order 1.5 for Ito noise that is diagonal or scalar.
DRIFT_NODES = (0.0, 3 / 4)
DRIFT_NOISE = 3 / 2  # of the second drift stage, times the integral over the step
NOISE_NODES = (0.0, 1 / 4, 1.0, 1 / 4)
NOISE_DRIFT = ((), (1 / 4,), (1.0,), (0.0, 0.0, 1 / 4))
NOISE_NOISE = ((), (1 / 2,), (-1.0, 0.0), (-5.0, 3.0, 1 / 2))
DRIFT_WEIGHTS = (1 / 3, 2 / 3)
# Weights of the noise stages for the integrals I1, I11 / sqrt(h), I10 / h and I111 / h.
BETA = (
    (-1.0, 4 / 3, 2 / 3, 0.0),
    (-1.0, 4 / 3, -1 / 3, 0.0),
    (2.0, -4 / 3, -2 / 3, 0.0),
    (-2.0, 5 / 3, -2 / 3, 1.0),
)
ERROR_ORDER = 1.5
DRIFT_ERROR = 1 / 6  # weight of the drift's part of the error estimate
DRIFT_EVALUATIONS = 2


def sdeint(
    drift: Field,
    diffusion: Field,
    y0: Tensor,
    times: Tensor | Sequence[float],
    *,
    rtol: float = 1e-2,
    atol: float = 1e-2,
    path: BrownianPath | None = None,
    scalar_noise: bool = False,
    controller: Controller | None = None,
    first_step: float | None = None,
    max_steps: int = 10_000,
    differentiable: bool = False,
    dense: bool = False,
    norm: Norm | None = None,
) -> Solution:
    """Solve ``dX = f(t, X) dt + g(t, X) dW`` in the sense of Ito, along one path of ``W``.

    Rössler's method of strong order 1.5 with the natural embedding of Rackauckas & Nie, *Discrete Contin.
    Dyn. Syst. B* 22 (2017): the error estimate is what the terms of higher order add, the drift's part at a
    sixth. A rejected step goes on along the same path. Differentiated by backpropagation through the
    accepted steps.

    Args:
        drift: ``f(t, X)``, of the state's shape.
        diffusion: ``g(t, X)``, of the state's shape: each entry has a noise of its own, unless it is scalar.
        y0: the initial state ``(batch, ...)``, one tensor of real numbers.
        times: the initial time, then those whose states are returned, ascending; a step ends at each.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        path: the Brownian motion, drawn anew from torch's generator if not given.
        scalar_noise: whether all entries of a sample share one noise.
        controller: controller of the step size; the default grows steps by at most 2.
        first_step: its size, a hundredth of the interval if not given.
        max_steps: maximum number of steps, rejected ones included.
        differentiable: whether ``statistics.error`` and ``statistics.stiffness`` get gradients.
        dense: whether to keep the accepted steps, for ``Solution.segment``.
        norm: norm of an error in units of the tolerance, by default its root mean square.

    Returns:
        A solution whose statistics count evaluations of the drift (there are twice as many of the diffusion),
        and whose stiffness is the drift's Jacobian in the direction of its two stages.

    Raises:
        ValueError: if an argument is out of its range, or drift or diffusion gives another shape than the
            state's.
        NonFiniteFieldError: if the drift or the diffusion is not finite.
        StepSizeUnderflowError: if no step meets the tolerance.
        MaxStepsError: if the end was not reached.
    """
    when = check_times(times)
    check_state(y0)
    check_tolerances(rtol, atol)
    check_steps(first_step, max_steps)
    check_resolution(rtol, atol, y0)
    if when[-1] < when[0]:
        raise ValueError("the times of a stochastic differential equation must ascend")
    if scalar_noise and not y0.dim():
        raise ValueError("noise that a sample's entries share needs a batch of states, (batch, ...)")
    shape = (len(y0), *(1,) * (y0.dim() - 1)) if scalar_noise else tuple(y0.shape)
    path = path or BrownianPath(shape, when[0], dtype=y0.dtype, device=y0.device)
    if path.shape != shape:
        raise ValueError(f"the path has shape {path.shape}, and the noise of this state {shape}")
    if path.dtype != y0.dtype or path.device.type != y0.device.type:
        raise ValueError(
            f"the path is in {path.dtype} on {path.device}, and the state in {y0.dtype} on {y0.device}"
        )
    controller = controller or Controller(grow=2.0)
    atol = max(atol, torch.finfo(y0.dtype).tiny)
    tolerance = Tolerance(rtol, atol, norm or root_mean_square)
    t, y = when[0], y0
    least = smallest_step(y, t, when[-1])
    h = first_step or max(least, (when[-1] - t) / 100)
    check_finite(y, t, 0.0)
    check_first_step(h, t, least)
    states: list[Tensor] = [y]
    taken: list[tuple[float, float, Step]] = []
    segments: list[Segment] = []
    rejected = 0
    last = before = 1.0
    while len(states) < len(when):
        if len(taken) + rejected >= max_steps:
            raise MaxStepsError(t, h, max_steps)
        target = when[len(states)]
        landing = h >= (target - t) * (1 - 1e-10)
        reached = target if landing else t + h
        step = take_noisy_step(
            drift, diffusion, t, reached - t, y, path.increment(t, reached), tolerance, differentiable
        )
        error = float(step.error.detach())
        factor = controller.shrink
        if math.isfinite(error):
            factor = controller.factor(ERROR_ORDER, max(error, LEAST_ERROR), last, before)
        if error <= 1:
            taken.append((t, reached - t, step))
            if dense:
                segments.append(Segment(t, reached - t, y, step.stages, None))
            # A step cut short to end at a time says nothing against the longer one that was meant.
            h = max(h, (reached - t) * factor) if landing and factor >= 1 else (reached - t) * factor
            t, y = reached, step.y
            last, before = max(error, LEAST_ERROR), last
            if landing:
                states.append(y)
        else:
            rejected += 1
            h = (reached - t) * min(factor, 1.0)
        if h < least and len(states) < len(when):
            for stage in step.stages:
                check_finite(stage, t, h)
            raise StepSizeUnderflowError(t, h)
    moments, sizes, steps = zip(*taken, strict=True)
    statistics = Statistics(
        evaluations=DRIFT_EVALUATIONS * (len(taken) + rejected),
        accepted=len(taken),
        rejected=rejected,
        t=torch.tensor(moments, dtype=torch.float64),
        h=torch.tensor(sizes, dtype=torch.float64),
        error=torch.stack([step.error for step in steps]),
        stiffness=stacked_stiffness(steps),
        taken=torch.ones(len(taken), dtype=torch.bool),
        stability=0.0,
    )
    return Solution(torch.tensor(when, dtype=torch.float64), torch.stack(states), statistics, segments)


def take_noisy_step(
    drift: Field,
    diffusion: Field,
    t: float,
    h: float,
    y: Tensor,
    noise: Increment,
    tolerance: Tolerance,
    differentiable: bool,
) -> Step:
    """One step along a path; ``stages`` of the result are the drift's, then the diffusion's."""
    w, root = noise.w, math.sqrt(h)
    slopes = [evaluate(drift, t, y, "drift")]
    noises = [evaluate(diffusion, t, y, "diffusion")]
    ahead = y + slopes[0] * (DRIFT_NODES[1] * h) + noises[0] * (noise.area * (DRIFT_NOISE / h))
    slopes.append(evaluate(drift, t + DRIFT_NODES[1] * h, ahead, "drift"))
    for node, by_drift, by_noise in zip(NOISE_NODES[1:], NOISE_DRIFT[1:], NOISE_NOISE[1:], strict=True):
        # The method's third drift stage, on which the fourth of the noise depends, is its first once more.
        weights = [h * sum(by_drift), *(root * weight for weight in by_noise)]
        state = combine(weights, [slopes[0], *noises], y)
        noises.append(evaluate(diffusion, t + node * h, state, "diffusion"))
    integrals = (w, (w.square() - h) / (2 * root), noise.area / h, (w**3 - 3 * h * w) / (6 * h))
    low = sum_products(noises, integrals[:2], BETA[:2])
    high = sum_products(noises, integrals[2:], BETA[2:])
    after = combine([h * weight for weight in DRIFT_WEIGHTS], slopes, y) + low + high
    with nullcontext() if differentiable else torch.no_grad():
        estimate = (slopes[1] - slopes[0]).abs() * (h * DRIFT_ERROR) + high.abs()
        error = tolerance.measure(estimate, y, after)
        stiffness = quotient(slopes[1] - slopes[0], ahead - y, tolerance.norm)
    return Step(after, [*slopes, *noises], error, stiffness)


def sum_products(
    noises: Sequence[Tensor], integrals: Sequence[Tensor], weights: Sequence[Sequence[float]]
) -> Tensor:
    """``sum_i g_i sum_q weights_qi integrals_q``."""
    total = torch.zeros_like(noises[0])
    for k, noise in enumerate(noises):
        factors = [(row[k], integral) for row, integral in zip(weights, integrals, strict=True) if row[k]]
        if factors:
            total = total + noise * combine([f for f, _ in factors], [i for _, i in factors])
    return total
