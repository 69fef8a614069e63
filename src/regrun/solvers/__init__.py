"""Adaptive, differentiable solvers of differential equations, with exposed step statistics."""

from regrun.solvers.adaptive import ODESolver, SDESolver
from regrun.solvers.adjoint import ContinuousAdjoint
from regrun.solvers.brownian import BrownianPath
from regrun.solvers.controller import Controller
from regrun.solvers.errors import (
    MaxStepsError,
    NonFiniteFieldError,
    SolverError,
    StepSizeUnderflowError,
    ToleranceWarning,
    UnsupportedGradientError,
)
from regrun.solvers.gradients import Backpropagation, Checkpointing
from regrun.solvers.ode import odeint
from regrun.solvers.sde import sdeint
from regrun.solvers.solution import Segment, Solution, Statistics
from regrun.solvers.tableaus import Bosh3, Dopri5, Dopri8, RungeKutta, Tsit5

__all__ = [
    "Backpropagation",
    "Bosh3",
    "BrownianPath",
    "Checkpointing",
    "ContinuousAdjoint",
    "Controller",
    "Dopri5",
    "Dopri8",
    "MaxStepsError",
    "NonFiniteFieldError",
    "ODESolver",
    "RungeKutta",
    "SDESolver",
    "Segment",
    "Solution",
    "SolverError",
    "Statistics",
    "StepSizeUnderflowError",
    "ToleranceWarning",
    "Tsit5",
    "UnsupportedGradientError",
    "odeint",
    "sdeint",
]
