"""Time stepping with one step size for the whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.solvers.checking import check_finite, check_first_step
from regrun.solvers.controller import LEAST_ERROR, Controller
from regrun.solvers.errors import MaxStepsError, StepSizeUnderflowError
from regrun.solvers.gradients import StepGradient
from regrun.solvers.solution import Segment, Solution, Statistics
from regrun.solvers.starting import first_step_size
from regrun.solvers.stepping import Field, Step, at_time, evaluate, take_step
from regrun.solvers.tableaus import RungeKutta
from regrun.solvers.tolerance import Tolerance


@dataclass(frozen=True)
class Settings:
    """How to solve; see ``odeint``."""

    method: RungeKutta
    tolerance: Tolerance
    controller: Controller
    first_step: float | None
    max_steps: int
    differentiable: bool
    dense: bool
    per_sample: bool


def march(
    field: Field, y: Tensor, times: Sequence[float], settings: Settings, gradient: StepGradient
) -> Solution:
    """Solve with one step size for the whole batch; see ``odeint``."""
    method, tolerance = settings.method, settings.tolerance
    t, end = times[0], times[-1]
    check_finite(y, t, 0.0)
    first = evaluate(field, t, y)
    check_finite(first, t, 0.0)
    evaluations = 1
    least = smallest_step(y, t, end)
    h = settings.first_step
    if h is None:
        h = max(least, first_step_size(field, t, end, y, first, method.error_order, *tolerance))
        evaluations += 1
    check_first_step(h, t, least)
    h = math.copysign(h, end - t)
    states, segments = [y], list[Segment]()
    taken: list[tuple[float, float, Step]] = []
    last = before = 1.0
    rejected = 0
    while len(states) < len(times):
        if len(taken) + rejected >= settings.max_steps:
            raise MaxStepsError(t, h, settings.max_steps)
        landing = abs(h) >= abs(end - t) * (1 - 1e-10)
        h = end - t if landing else h

        def attempt(state: Tensor, slope: Tensor, t: float = t, h: float = h) -> Step:
            return take_step(field, method, t, h, state, slope, tolerance, settings.differentiable)

        step = gradient.attempt(attempt, y, first)
        evaluations += method.stages - 1
        error = float(step.error.detach())
        accepted = error <= 1
        factor = settings.controller.shrink
        if math.isfinite(error):
            error = max(error, LEAST_ERROR)
            factor = settings.controller.factor(method.error_order, error, last, before)
        if accepted:
            step = gradient.accept(attempt, step, field, at_time(t, y), y)
            segment = Segment(t, h, y, step.stages, method)
            taken.append((t, h, step))
            if settings.dense:
                segments.append(segment)
            reached = end if landing else t + h
            while len(states) < len(times) and abs(times[len(states)] - t) <= abs(reached - t):
                wanted = times[len(states)]
                states.append(step.y if wanted == reached else segment(wanted))
            t, y, first = reached, step.y, step.stages[-1]
            last, before = error, last
            h *= factor
        else:
            rejected += 1
            h *= min(factor, 1.0)
        if abs(h) < least and len(states) < len(times):
            for stage in step.stages:
                check_finite(stage, t, h)
            raise StepSizeUnderflowError(t, h)
    moments, sizes, steps = zip(*taken, strict=True)
    statistics = Statistics(
        evaluations=evaluations,
        accepted=len(taken),
        rejected=rejected,
        t=torch.tensor(moments, dtype=torch.float64),
        h=torch.tensor(sizes, dtype=torch.float64),
        error=torch.stack([step.error for step in steps]),
        stiffness=stacked_stiffness(steps),
        taken=torch.ones(len(taken), dtype=torch.bool),
        stability=method.stability,
    )
    return Solution(torch.tensor(times, dtype=torch.float64), torch.stack(states), statistics, segments)


def stacked_stiffness(steps: Sequence[Step]) -> Tensor | None:
    """The stiffness estimates of some steps, if the method has them."""
    found = [step.stiffness for step in steps if step.stiffness is not None]
    return torch.stack(found) if found else None


def smallest_step(y: Tensor, t: float, end: float) -> float:
    """The smallest step that the state's format resolves."""
    return 4 * torch.finfo(y.dtype).eps * max(abs(t), abs(end))
