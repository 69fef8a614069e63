"""The continuous adjoint: the gradient as the solution of another differential equation, backward in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from regrun.solvers.gradients import Backpropagation, parameters_of
from regrun.solvers.marching import Settings, march
from regrun.solvers.solution import Solution
from regrun.solvers.stepping import Field, Tolerance, root_mean_square

Solve = Callable[[Field, Tensor], Solution]


@dataclass(frozen=True)
class ContinuousAdjoint:
    """Solves ``da/dt = -a^T df/du`` backward, together with the state, instead of keeping the graph.

    Memory does not grow with the steps. The gradient has the error of two solves, and the statistics of the
    solve have no gradient. Chen et al., *Neural Ordinary Differential Equations*, arXiv 1806.07366.

    Args:
        parameters: the tensors besides the state that the field depends on; those of the field if it is a
            module.
        rtol: of the backward solve, that of the solve itself if not given.
        atol: as ``rtol``.
        all_errors: whether the gradient of the parameters, an integral that nothing depends on, is part of
            the backward error; leaving it out saves evaluations (Kidger et al., arXiv 2009.09457).
    """

    parameters: Sequence[Tensor] | None = None
    rtol: float | None = None
    atol: float | None = None
    all_errors: bool = False

    def solve(
        self, solve: Solve, field: Field, y: Tensor, times: Sequence[float], settings: Settings
    ) -> Solution:
        """The solution, whose states have gradients.

        Args:
            solve: solves forward.
            field: ``f(t, u)``.
            y: the initial state.
            times: the initial time first.
            settings: of the solve.

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
        arguments = (self, solution.states, field, times, settings, y, *parameters)
        states: Tensor = _Adjoint.apply(*arguments)
        return replace(solution, states=states)

    def tolerance(self, given: Tolerance, size: int) -> Tolerance:
        """That of the backward solve.

        Args:
            given: that of the solve.
            size: of the state together with its adjoint.
        """
        rtol = given.rtol if self.rtol is None else self.rtol
        atol = given.atol if self.atol is None else self.atol
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
        ctx.save_for_backward(states, *parameters)
        return states.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        states, *parameters = ctx.saved_tensors
        field, times = ctx.field, ctx.times
        shape, size = states.shape[1:], states[0].numel()

        def backward_field(t: Tensor, joint: Tensor) -> Tensor:
            y = joint[:size].reshape(shape)
            a = joint[size : 2 * size].reshape(shape)
            with torch.enable_grad():
                y = y.detach().requires_grad_()
                slope = field(t, y)
            found = torch.autograd.grad(slope, [y, *parameters], -a, allow_unused=True)
            parts = [
                torch.zeros_like(x) if part is None else part
                for part, x in zip(found, [y, *parameters], strict=True)
            ]
            return torch.cat([slope.detach().reshape(-1), *(part.reshape(-1) for part in parts)])

        settings = replace(
            ctx.settings,
            tolerance=ctx.how.tolerance(ctx.settings.tolerance, 2 * size),
            first_step=None,
            dense=False,
        )
        a = gradient[-1]
        rest = [torch.zeros_like(parameter).reshape(-1) for parameter in parameters]
        for k in range(len(times) - 1, 0, -1):
            joint = torch.cat([states[k].reshape(-1), a.reshape(-1), *rest])
            solved = march(backward_field, joint, [times[k], times[k - 1]], settings, Backpropagation()).last
            sizes = [size, size, *(parameter.numel() for parameter in parameters)]
            _, a, *rest = solved.split(sizes)
            a = a.reshape(shape) + gradient[k - 1]
        found = [part.reshape(parameter.shape) for part, parameter in zip(rest, parameters, strict=True)]
        return None, None, None, None, None, a, *found
