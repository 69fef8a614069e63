"""Solvers with their settings, as objects that a model holds and a config names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from regrun.solvers.adjoint import ContinuousAdjoint
from regrun.solvers.brownian import BrownianPath
from regrun.solvers.checking import check_steps, check_tolerances
from regrun.solvers.controller import Controller
from regrun.solvers.gradients import Backpropagation, Checkpointing
from regrun.solvers.ode import odeint
from regrun.solvers.sde import sdeint
from regrun.solvers.solution import Solution
from regrun.solvers.stepping import Field
from regrun.solvers.tableaus import RungeKutta, Tsit5
from regrun.solvers.tolerance import Norm, Tolerance, root_mean_square

Gradient = Backpropagation | Checkpointing | ContinuousAdjoint


@dataclass(frozen=True)
class ODESolver:
    """``odeint`` with its settings.

    Args:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        first_step: the first step's size; estimated if not given.
        max_steps: after which a solve is given up.
        per_sample: whether each sample has step sizes of its own.
        method: the Runge-Kutta pair.
        gradient: method of differentiation.
        controller: controller of the step size.
    """

    rtol: float = 1e-6
    atol: float = 1e-6
    first_step: float | None = None
    max_steps: int = 10_000
    per_sample: bool = False
    method: RungeKutta = field(default_factory=Tsit5)
    gradient: Gradient = field(default_factory=Backpropagation)
    controller: Controller = field(default_factory=Controller)

    def __post_init__(self) -> None:
        check_tolerances(self.rtol, self.atol)
        check_steps(self.first_step, self.max_steps)

    @property
    def tolerance(self) -> Tolerance:
        """That of a step of the whole batch."""
        return Tolerance(self.rtol, self.atol, root_mean_square)

    def __call__(
        self,
        f: Field,
        y0: Tensor,
        times: Sequence[float],
        differentiable: bool = False,
        dense: bool = False,
        norm: Norm | None = None,
    ) -> Solution:
        return odeint(
            f,
            y0,
            times,
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
            gradient=self.gradient,
            controller=self.controller,
            first_step=self.first_step,
            max_steps=self.max_steps,
            per_sample=self.per_sample,
            differentiable=differentiable,
            dense=dense,
            norm=norm,
        )


@dataclass(frozen=True)
class SDESolver:
    """``sdeint`` with its settings.

    Args:
        rtol: relative tolerance of a step.
        atol: absolute tolerance of a step.
        first_step: the first step's size, a hundredth of the interval if not given.
        max_steps: after which a solve is given up.
        controller: controller of the step size.
    """

    rtol: float = 1e-2
    atol: float = 1e-2
    first_step: float | None = None
    max_steps: int = 10_000
    controller: Controller = field(default_factory=lambda: Controller(grow=2.0))

    def __post_init__(self) -> None:
        check_tolerances(self.rtol, self.atol)
        check_steps(self.first_step, self.max_steps)

    @property
    def tolerance(self) -> Tolerance:
        """That of a step."""
        return Tolerance(self.rtol, self.atol, root_mean_square)

    def __call__(
        self,
        drift: Field,
        diffusion: Field,
        y0: Tensor,
        times: Sequence[float],
        path: BrownianPath,
        differentiable: bool = False,
        dense: bool = False,
    ) -> Solution:
        return sdeint(
            drift,
            diffusion,
            y0,
            times,
            path=path,
            rtol=self.rtol,
            atol=self.atol,
            controller=self.controller,
            first_step=self.first_step,
            max_steps=self.max_steps,
            differentiable=differentiable,
            dense=dense,
        )
