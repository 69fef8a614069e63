"""Stochastic differential equations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrun.models.dynamics import Dynamics, RunningCost
from regrun.solvers import BrownianPath, sdeint
from regrun.solvers.sde import take_noisy_step
from regrun.solvers.stepping import Tolerance, root_mean_square


class NoisyDynamics(Dynamics):
    """``dX = f(t, X) dt + g(t, X) dW`` with diagonal noise, solved adaptively.

    Training draws a new path for each batch from torch's generator. Evaluations use one and the same path, so
    that what is compared differs in the field alone.

    Args:
        drift: ``f``, a module.
        diffusion: ``g``, a module.
        rtol: relative tolerance.
        atol: absolute tolerance.
        first_step: the first step's size, a hundredth of the interval if not given.
        max_steps: after which a solve is given up.
    """

    SEED = 0  # of the path of evaluations

    def __init__(
        self,
        drift: nn.Module,
        diffusion: nn.Module,
        rtol: float,
        atol: float,
        first_step: float | None = None,
        max_steps: int = 10_000,
    ) -> None:
        super().__init__()
        self.drift = drift
        self.diffusion = diffusion
        self.rtol = rtol
        self.atol = atol
        self.first_step = first_step
        self.max_steps = max_steps

    def add_running_cost(self, name: str, cost: RunningCost) -> None:
        """See ``Dynamics``."""
        raise ValueError(
            f"{name} is a regularizer of ordinary equations; choose model=neural_ode, for instance"
        )

    def forward(self, y0: Tensor, times: Sequence[float]) -> tuple[Tensor, dict[str, Any]]:
        """See ``Dynamics``."""
        times = self.training_times(times)
        generator = None
        if not self.training:
            generator = torch.Generator(y0.device).manual_seed(self.SEED)
        path = BrownianPath(tuple(y0.shape), times[0], generator, y0.dtype, y0.device)
        solution = sdeint(
            self.drift,
            self.diffusion,
            y0,
            times,
            path=path,
            rtol=self.rtol,
            atol=self.atol,
            first_step=self.first_step,
            max_steps=self.max_steps,
            differentiable=self.training and self.differentiable,
            dense=self.dense or not self.training,
        )
        self.count(solution)
        return solution.states, {"solution": solution}

    def local_error(self, t: float, h: float, y: Tensor) -> Tensor:
        """See ``Dynamics``; along a new path."""
        y = y.detach()
        noise = BrownianPath(tuple(y.shape), t, None, y.dtype, y.device).increment(t, t + h)
        tolerance = Tolerance(self.rtol, self.atol, root_mean_square)
        return take_noisy_step(self.drift, self.diffusion, t, h, y, noise, tolerance, True).error
