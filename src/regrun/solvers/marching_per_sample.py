"""Time stepping with separate step sizes for each sample of a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from regrun.solvers.checking import check_finite, check_first_step
from regrun.solvers.controller import LEAST_ERROR
from regrun.solvers.errors import MaxStepsError, StepSizeUnderflowError
from regrun.solvers.gradients import StepGradient
from regrun.solvers.marching import Settings, smallest_step, stacked_stiffness
from regrun.solvers.solution import Solution, Statistics
from regrun.solvers.starting import first_step_size
from regrun.solvers.stepping import Field, Step, at_time, evaluate, per_sample, same_time, take_step
from regrun.solvers.tableaus import RungeKutta


def march_per_sample(
    field: Field, y: Tensor, times: Sequence[float], settings: Settings, gradient: StepGradient
) -> Solution:
    """Solve with a step size for each sample; see ``odeint``.

    The field is evaluated for the whole batch in each round, at one time per sample; samples that have
    arrived stand still. A sample's evaluations are those of the rounds before it arrived.
    """
    method, tolerance, controller = settings.method, settings.tolerance, settings.controller
    begin, end = times[0], times[-1]
    batch = len(y)
    t = torch.full((batch,), begin, dtype=torch.float64, device=y.device)
    check_finite(y, begin, 0.0)
    first = evaluate(field, t, y)
    check_finite(first, begin, 0.0)
    evaluations = torch.full((batch,), 1, device=y.device)
    least = smallest_step(y, begin, end)
    guess = settings.first_step
    if guess is None:
        at_once = same_time(field, batch)
        guess = max(least, first_step_size(at_once, begin, end, y, first, method.error_order, *tolerance))
        evaluations += 1
    check_first_step(guess, begin, least)
    h = torch.full_like(t, math.copysign(guess, end - begin))
    wanted = torch.tensor(times, dtype=torch.float64, device=y.device)
    states = [y, *(torch.zeros_like(y) for _ in times[1:])]
    accepted, rejected = torch.zeros_like(evaluations), torch.zeros_like(evaluations)
    last, before = torch.ones_like(t), torch.ones_like(t)
    rounds: list[tuple[Tensor, Tensor, Tensor, Step]] = []
    tried = 0
    while bool((active := (left := end - t) != 0).any()):
        if tried >= settings.max_steps:
            slowest = int(left.abs().argmax())
            raise MaxStepsError(float(t[slowest]), float(h[slowest]), settings.max_steps)
        tried += 1
        landing = active & (h.abs() >= left.abs() * (1 - 1e-10))
        h = torch.where(landing, left, h).where(active, 0.0)

        def attempt(state: Tensor, slope: Tensor, t: Tensor = t, h: Tensor = h) -> Step:
            return take_step(field, method, t, h, state, slope, tolerance, settings.differentiable)

        step = gradient.attempt(attempt, y, first)
        evaluations = evaluations + (method.stages - 1) * active
        error = step.error.detach().double()
        finite = error.isfinite() | ~active
        # A sample with a non-finite trial would spoil the others' gradients, so they wait for it.
        good = active & (error <= 1) & finite.all()
        if bool(good.any()):
            step = gradient.accept(attempt, step, field, at_time(t, y), y)
            rounds.append((t, h, good, step))
            moved = per_sample(good, y).bool()
            reached = torch.where(landing, torch.full_like(t, end), t + h)
            for k in range(1, len(times)):
                ahead = wanted[k] - t
                inside = good & (ahead.abs() <= (reached - t).abs()) & (ahead.sign() == left.sign())
                if bool(inside.any()):
                    theta = torch.where(inside, ahead / h, 1.0)
                    value = _dense(method, theta, h, y, step)
                    states[k] = torch.where(per_sample(inside, y).bool(), value, states[k])
            t = torch.where(good, reached, t)
            y = torch.where(moved, step.y, y)
            first = torch.where(moved, step.stages[-1], first)
        bounded = error.where(finite, 1.0).clamp(min=LEAST_ERROR)
        factor = controller.factor(method.error_order, bounded, last, before)
        factor = torch.where(good, factor, factor.clamp(max=1.0))
        if not bool(finite.all()):
            factor = torch.where(finite, 1.0, controller.shrink)
        before, last = torch.where(good, last, before), torch.where(good, bounded, last)
        h = h * factor
        accepted, rejected = accepted + good, rejected + (active & ~((error <= 1) & finite))
        stuck = active & (t != end) & (h.abs() < least)
        if bool(stuck.any()):
            sample = int(stuck.nonzero()[0])
            where = float(t[sample]), float(h[sample])
            for stage in step.stages:
                check_finite(stage, *where)
            raise StepSizeUnderflowError(*where)
    taken = torch.stack([good for _, _, good, _ in rounds])
    stiffness = stacked_stiffness([step for *_, step in rounds])
    statistics = Statistics(
        evaluations=evaluations,
        accepted=accepted,
        rejected=rejected,
        t=torch.stack([t for t, _, _, _ in rounds]),
        h=torch.stack([h for _, h, _, _ in rounds]),
        error=torch.stack([step.error.where(good, 0.0) for _, _, good, step in rounds]),
        stiffness=None if stiffness is None else stiffness.where(taken, 0.0),
        taken=taken,
        stability=method.stability,
    )
    return Solution(torch.tensor(times, dtype=torch.float64), torch.stack(states), statistics)


def _dense(method: RungeKutta, theta: Tensor, h: Tensor, y: Tensor, step: Step) -> Tensor:
    """Each sample's state at its own ``theta``."""
    powers = torch.stack([theta**p for p in range(1, len(method.dense[0]) + 1)], 1)
    weights = powers @ torch.tensor(method.dense, dtype=theta.dtype, device=theta.device).T * h[:, None]
    value = y
    for weight, stage in zip(weights.unbind(1), step.stages, strict=True):
        value = value + per_sample(weight, y) * stage
    return value
