"""Stochastic differential equations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrun.models.dynamics import Dynamics, RunningCost
from regrun.solvers import BrownianPath, SDESolver
from regrun.solvers.sde import take_noisy_step


class NoisyDynamics(Dynamics):
    """``dX = f(t, X) dt + g(t, X) dW`` with diagonal noise.

    Training draws a new path for each batch from torch's generator. Evaluations use one and the same path, so
    that what is compared differs in the field alone.

    Args:
        drift: ``f``, a module.
        diffusion: ``g``, a module.
        solver: solves it.
    """

    SEED = 0  # of the path in evaluations

    def __init__(self, drift: nn.Module, diffusion: nn.Module, solver: SDESolver) -> None:
        super().__init__()
        self.drift = drift
        self.diffusion = diffusion
        self.solver = solver

    def add_running_cost(self, name: str, cost: RunningCost) -> None:
        raise ValueError(
            f"{name} is a regularizer of ordinary equations; choose model=neural_ode, for instance"
        )

    def forward(self, y0: Tensor, times: Sequence[float]) -> tuple[Tensor, dict[str, Any]]:
        times = self.training_times(times)
        generator = None if self.training else torch.Generator(y0.device).manual_seed(self.SEED)
        solution = self.solver(
            self.drift,
            self.diffusion,
            y0,
            times,
            BrownianPath(tuple(y0.shape), times[0], generator, y0.dtype, y0.device),
            differentiable=self.training and self.differentiable,
            dense=self.dense or not self.training,
        )
        self.count(solution)
        return solution.states, {"solution": solution}

    def local_error(self, t: float, h: float, y: Tensor) -> Tensor:
        """See ``Dynamics``; along a new path."""
        y = y.detach()
        noise = BrownianPath(tuple(y.shape), t, None, y.dtype, y.device).increment(t, t + h)
        return take_noisy_step(self.drift, self.diffusion, t, h, y, noise, self.solver.tolerance, True).error
