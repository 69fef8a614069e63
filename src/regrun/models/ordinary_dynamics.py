"""Ordinary differential equations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrun.models.dynamics import Dynamics, RunningCost
from regrun.solvers import Backpropagation, ContinuousAdjoint, ODESolver
from regrun.solvers.stepping import Field, evaluate, take_step
from regrun.solvers.tolerance import root_mean_square


class OrdinaryDynamics(Dynamics):
    """``du/dt = f(t, u)``.

    Args:
        field: ``f``, a module.
        solver: solves it.
    """

    def __init__(self, field: nn.Module, solver: ODESolver) -> None:
        super().__init__()
        self.field = field
        self.solver = solver
        self.running_costs: dict[str, RunningCost] = {}

    def want_statistics(self, stiffness: bool) -> None:
        if isinstance(self.solver.gradient, ContinuousAdjoint):
            raise ValueError(
                "the solver's error and stiffness have no gradient with ContinuousAdjoint; choose "
                "Backpropagation or Checkpointing, or regularizer=local_error"
            )
        method = self.solver.method
        if stiffness and not method.stability:
            raise ValueError(
                f"{type(method).__name__} has no stiffness estimate; choose Tsit5, Dopri5 or Dopri8"
            )
        super().want_statistics(stiffness)

    def want_segments(self) -> None:
        if self.solver.per_sample:
            raise ValueError("local_error needs the same steps for the whole batch; choose per_sample=false")
        super().want_segments()

    def add_running_cost(self, name: str, cost: RunningCost) -> None:
        if self.solver.per_sample or not isinstance(self.solver.gradient, Backpropagation):
            raise ValueError(
                f"{name} is integrated along with the state; choose per_sample=false and Backpropagation"
            )
        self.running_costs[name] = cost

    def forward(self, y0: Tensor, times: Sequence[float]) -> tuple[Tensor, dict[str, Any]]:
        costs = self.running_costs if self.training else {}
        size = y0.shape[1]
        if costs:
            y0 = torch.cat([y0, y0.new_zeros(len(y0), len(costs))], 1)
        solution = self.solver(
            self.with_costs(costs, size) if costs else self.field,
            y0,
            self.training_times(times),
            differentiable=self.training and self.differentiable,
            dense=not self.solver.per_sample and (self.dense or not self.training),
            norm=(lambda error: root_mean_square(error[:, :size])) if costs else None,
        )
        self.count(solution)
        found = {name: solution.last[:, size + k] for k, name in enumerate(costs)}
        return solution.states[..., :size], {"solution": solution, **found}

    def with_costs(self, costs: dict[str, RunningCost], size: int) -> Field:
        """The field of states and costs together, ``(batch, size + costs)``."""

        def joint_field(t: Tensor, joint: Tensor) -> Tensor:
            columns = []
            for cost in costs.values():
                slope, rate = cost(self.field, t, joint[:, :size])
                columns.append(rate[:, None])
            return torch.cat([slope, *columns], 1)

        return joint_field

    def local_error(self, t: float, h: float, y: Tensor) -> Tensor:
        y = y.detach()
        first = evaluate(self.field, t, y)
        return take_step(self.field, self.solver.method, t, h, y, first, self.solver.tolerance, True).error
