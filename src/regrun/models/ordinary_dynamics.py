"""Ordinary differential equations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrun.models.dynamics import Dynamics, RunningCost
from regrun.solvers import (
    Backpropagation,
    Checkpointing,
    ContinuousAdjoint,
    RungeKutta,
    Tsit5,
    odeint,
)
from regrun.solvers.stepping import Field, Tolerance, root_mean_square, take_step

Gradient = Backpropagation | Checkpointing | ContinuousAdjoint


class OrdinaryDynamics(Dynamics):
    """``du/dt = f(t, u)``, solved adaptively.

    Args:
        field: ``f``, a module.
        rtol: relative tolerance.
        atol: absolute tolerance.
        first_step: the first step's size; estimated if not given.
        max_steps: after which a solve is given up.
        per_sample: whether each sample has step sizes of its own.
        method: the Runge-Kutta pair, ``Tsit5`` if not given.
        gradient: how gradients pass, ``Backpropagation`` if not given.
    """

    def __init__(
        self,
        field: nn.Module,
        rtol: float,
        atol: float,
        first_step: float | None = None,
        max_steps: int = 10_000,
        per_sample: bool = False,
        method: RungeKutta | None = None,
        gradient: Gradient | None = None,
    ) -> None:
        super().__init__()
        self.running_costs: dict[str, RunningCost] = {}
        self.field = field
        self.rtol = rtol
        self.atol = atol
        self.first_step = first_step
        self.max_steps = max_steps
        self.per_sample = per_sample
        self.method = method or Tsit5()
        self.gradient = gradient or Backpropagation()

    def want_statistics(self, stiffness: bool) -> None:
        """See ``Dynamics``."""
        if isinstance(self.gradient, ContinuousAdjoint):
            raise ValueError(
                "the solver's error and stiffness have no gradient with ContinuousAdjoint; choose "
                "Backpropagation or Checkpointing, or regularizer=local_error"
            )
        if stiffness and not self.method.stability:
            raise ValueError(
                f"{type(self.method).__name__} has no stiffness estimate; choose Tsit5, Dopri5 or Dopri8"
            )
        super().want_statistics(stiffness)

    def add_running_cost(self, name: str, cost: RunningCost) -> None:
        """See ``Dynamics``."""
        if self.per_sample or not isinstance(self.gradient, Backpropagation):
            raise ValueError(
                f"{name} is integrated along with the state; choose per_sample=false and Backpropagation"
            )
        self.running_costs[name] = cost

    def forward(self, y0: Tensor, times: Sequence[float]) -> tuple[Tensor, dict[str, Any]]:
        """See ``Dynamics``."""
        costs = self.running_costs if self.training else {}
        size = y0.shape[1]
        if costs:
            y0 = torch.cat([y0, y0.new_zeros(len(y0), len(costs))], 1)
        solution = odeint(
            self.with_costs(costs, size) if costs else self.field,
            y0,
            self.training_times(times),
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            gradient=self.gradient,
            first_step=self.first_step,
            max_steps=self.max_steps,
            per_sample=self.per_sample,
            differentiable=self.training and self.differentiable,
            dense=not self.per_sample and (self.dense or not self.training),
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
        """See ``Dynamics``."""
        y = y.detach()
        first = self.field(torch.full((), t, dtype=y.dtype, device=y.device), y)
        tolerance = Tolerance(self.rtol, self.atol, root_mean_square)
        return take_step(self.field, self.method, t, h, y, first, tolerance, True).error
