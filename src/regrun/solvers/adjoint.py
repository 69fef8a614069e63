"""The continuous adjoint: the gradient as the solution of another differential equation, backward in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch import Tensor

from regrun.solvers.checking import check_tolerances
from regrun.solvers.errors import UnsupportedGradientError
from regrun.solvers.gradients import check_parameters, keep, parameters_of
from regrun.solvers.marching import Settings
from regrun.solvers.recomputing import NOT_FORWARD, refuse_transforms
from regrun.solvers.solution import Solution
from regrun.solvers.solving_backward import solve_backward
from regrun.solvers.stepping import Field
from regrun.solvers.tolerance import Tolerance, root_mean_square
from regrun.solvers.transforms import same_precision

Solve = Callable[[Field, Tensor], Solution]


@dataclass(frozen=True)
class ContinuousAdjoint:
    """Solves ``da/dt = -a^T df/du`` backward, together with the state, instead of keeping the graph.

    Memory does not grow with the steps. The gradient has the error of two solves, and the statistics of the
    solve have no gradient; nor are there second derivatives. The backward solve has one step size for the
    whole batch, and the root mean square of all entries for a norm. Chen et al., *Neural Ordinary
    Differential Equations*, arXiv 1806.07366.

    Args:
        parameters: the tensors besides the state that the field depends on; those of the field if it is a
            module.
        rtol: relative tolerance of the backward solve, by default the forward one.
        atol: absolute tolerance, likewise.
        all_errors: whether the gradient of the parameters, an integral that nothing depends on, is part of
            the backward error; leaving it out saves evaluations (Kidger et al., arXiv 2009.09457).
    """

    parameters: Sequence[Tensor] | None = None
    rtol: float | None = None
    atol: float | None = None
    all_errors: bool = False

    def __post_init__(self) -> None:
        keep(self, self.parameters)
        check_tolerances(1.0 if self.rtol is None else self.rtol, 1.0 if self.atol is None else self.atol)

    def solve(
        self, solve: Solve, field: Field, y: Tensor, times: Sequence[float], settings: Settings
    ) -> Solution:
        """The solution, whose states have gradients.

        Args:
            solve: solves forward.
            field: ``f(t, u)``.
            y: the initial state.
            times: the initial time first.
            settings: settings of the solve.

        Raises:
            ValueError: if gradients of the statistics are asked for.
        """
        if settings.differentiable:
            raise ValueError(
                "error and stiffness estimates have no gradient with ContinuousAdjoint; "
                "choose Backpropagation or Checkpointing, or penalize the local error"
            )
        parameters = parameters_of(field, self.parameters)
        with torch.no_grad():
            solution = solve(field, y)
        if not torch.is_grad_enabled():
            return solution
        refuse_transforms()
        arguments = (self, solution.states, field, times, settings, y, *parameters)
        states: Tensor = _Adjoint.apply(*arguments)
        return replace(solution, states=states)

    def tolerance(self, given: Tolerance, size: int, dtype: torch.dtype) -> Tolerance:
        """The tolerance of the backward solve.

        Args:
            given: tolerance of the forward solve.
            size: size of the state together with its adjoint.
            dtype: dtype of both.
        """
        rtol = given.rtol if self.rtol is None else self.rtol
        atol = given.atol if self.atol is None else max(self.atol, torch.finfo(dtype).tiny)
        if self.all_errors:
            return Tolerance(rtol, atol, root_mean_square)
        return Tolerance(rtol, atol, lambda error: root_mean_square(error[:size]))


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        how: ContinuousAdjoint,
        states: Tensor,
        field: Field,
        times: Sequence[float],
        settings: Settings,
        y: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.how, ctx.field, ctx.times, ctx.settings = how, field, times, settings
        ctx.precision = same_precision(y.device)
        ctx.parameters = parameters  # not saved for backward: hooks could replace them
        ctx.save_for_backward(states, y, *parameters)
        return states.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        parameters = ctx.parameters
        states, y = ctx.saved_tensors[:2]
        check_parameters(ctx.field, ctx.how.parameters, parameters)
        with torch.no_grad(), ctx.precision():
            size = 2 * y.numel()
            settings = replace(
                ctx.settings, tolerance=ctx.how.tolerance(ctx.settings.tolerance, size, y.dtype)
            )
            found = solve_backward(ctx.field, states, gradient, parameters, ctx.times, settings)
        if torch.is_grad_enabled():
            found = _NotTwice.apply(len(found), *found, gradient, y, *parameters)
        return None, None, None, None, None, *found

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise UnsupportedGradientError(NOT_FORWARD)


class _NotTwice(torch.autograd.Function):
    """Some of its arguments, whose gradient with respect to all of them is refused."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.detach() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise UnsupportedGradientError(
            "ContinuousAdjoint has no second derivatives; choose Backpropagation or Checkpointing"
        )
