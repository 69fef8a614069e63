"""Ordinary differential equations, solved adaptively and differentiably."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regrun.solvers.adjoint import ContinuousAdjoint
from regrun.solvers.checking import (
    check_resolution,
    check_state,
    check_steps,
    check_times,
    check_tolerances,
)
from regrun.solvers.controller import Controller
from regrun.solvers.gradients import Backpropagation, StepGradient
from regrun.solvers.marching import Settings, march
from regrun.solvers.marching_per_sample import march_per_sample
from regrun.solvers.solution import Solution
from regrun.solvers.stepping import Field
from regrun.solvers.tableaus import RungeKutta, Tsit5
from regrun.solvers.tolerance import Norm, Tolerance, root_mean_square, root_mean_square_per_sample


def odeint(
    field: Field,
    y0: Tensor,
    times: Tensor | Sequence[float],
    *,
    method: RungeKutta | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    gradient: StepGradient | ContinuousAdjoint | None = None,
    controller: Controller | None = None,
    first_step: float | None = None,
    max_steps: int = 10_000,
    per_sample: bool = False,
    differentiable: bool = False,
    dense: bool = False,
    norm: Norm | None = None,
) -> Solution:
    """Solve ``du/dt = f(t, u)`` from the first of some times on, and return states and statistics.

    The states at these times come with the solver's own statistics, which may have gradients.

    ::

        import torch
        from regrun.solvers import odeint

        field = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 2))
        optimizer = torch.optim.Adam(field.parameters(), lr=0.01)
        start, target = torch.randn(64, 2), torch.randn(64, 2)
        for _ in range(20):
            solution = odeint(lambda t, u: field(u), start, [0.0, 1.0], differentiable=True)
            loss = (solution.last - target).square().mean() + 0.1 * solution.statistics.error.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(solution.statistics.evaluations, solution.statistics.h)

    Args:
        field: ``f(t, u)``: a scalar time, or ``(batch,)`` of them with control per sample, and a state give
            the state's derivative, of the state's shape.
        y0: the initial state, one tensor of real numbers; ``(batch, ...)`` with control per sample.
        times: the initial time, then those whose states are returned, ascending or descending. They have no
            influence on the steps, but for the last, and the solution has no gradient with respect to them.
        method: a Runge-Kutta pair, ``Tsit5`` if not given.
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        gradient: ``Backpropagation`` (the default), ``Checkpointing`` or ``ContinuousAdjoint``; the last has
            no second derivatives, and only the first goes with ``torch.func``.
        controller: controller of the step size.
        first_step: its size; estimated, with one evaluation, if not given.
        max_steps: maximum number of steps, rejected ones included.
        per_sample: whether each sample has step sizes of its own. Otherwise there is one for the whole batch,
            whose errors are pooled.
        differentiable: whether ``statistics.error`` and ``statistics.stiffness`` get gradients.
        dense: whether to keep the accepted steps, for ``Solution.at``.
        norm: of an error in units of the tolerance, its root mean square (of each sample) if not given; for
            states some parts of which are not to govern the steps.

    Raises:
        ValueError: if an argument is out of its range, or the field gives another shape than the state's.
        UnsupportedGradientError: for a derivative that ``gradient`` does not have; also when that is taken.
        NonFiniteFieldError: if the field is not finite: when, and in which entry.
        StepSizeUnderflowError: if no step meets the tolerance.
        MaxStepsError: if the end was not reached.

    Warns:
        ToleranceWarning: if the state's format does not resolve the tolerance.
    """
    when = check_times(times)
    check_state(y0)
    check_tolerances(rtol, atol)
    check_steps(first_step, max_steps)
    check_resolution(rtol, atol, y0)
    if per_sample and dense:
        raise ValueError(
            "a dense solution needs the same steps for the whole batch; ask for per_sample or dense"
        )
    if per_sample and not y0.dim():
        raise ValueError("control per sample needs a batch of states, (batch, ...); got a single number")
    sizes = tuple(y0.shape[:1]) if per_sample else ()
    if norm is not None and norm(torch.ones_like(y0)).shape != sizes:
        raise ValueError(f"the norm must give the shape {sizes} with per_sample={per_sample}")
    atol = max(atol, torch.finfo(y0.dtype).tiny)
    tolerance = Tolerance(
        rtol, atol, norm or (root_mean_square_per_sample if per_sample else root_mean_square)
    )
    settings = Settings(
        method or Tsit5(),
        tolerance,
        controller or Controller(),
        first_step,
        max_steps,
        differentiable,
        dense,
        per_sample,
    )
    solver = march_per_sample if per_sample else march
    if isinstance(gradient, ContinuousAdjoint):

        def solve(field: Field, y: Tensor) -> Solution:
            return solver(field, y, when, settings, Backpropagation())

        return gradient.solve(solve, field, y0, when, settings)
    return solver(field, y0, when, settings, gradient or Backpropagation())
