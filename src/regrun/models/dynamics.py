"""Differential equations as layers, with statistics for their regularizers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regrun.solvers import Solution
from regrun.solvers.stepping import Field

# Of a field, a time and states: the derivative of the states, and of a cost per sample, (batch,).
RunningCost = Callable[[Field, Tensor, Tensor], tuple[Tensor, Tensor]]


class Dynamics(nn.Module):
    """A base for ordinary and stochastic equations.

    Attributes:
        differentiable: whether the solver's statistics have gradients, in training.
        dense: whether the accepted steps are kept, in training; in evaluations they are.
        jitter: changes the times, in training.
    """

    solves: Tensor  # in training so far
    evaluations: Tensor  # of the field, in these

    def __init__(self) -> None:
        super().__init__()
        self.dense = False
        self.differentiable = False
        self.jitter: Callable[[Sequence[float]], Sequence[float]] | None = None
        self.register_buffer("solves", torch.zeros((), dtype=torch.int64))
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def forward(self, y0: Tensor, times: Sequence[float]) -> tuple[Tensor, dict[str, Any]]:
        """The states at the times, ``(times, batch, size)``, and by name ``solution`` and running costs."""

    @abstractmethod
    def local_error(self, t: float, h: float, y: Tensor) -> Tensor:
        """The error estimate of one step, in units of the tolerance, with a gradient to the field alone."""

    def want_statistics(self, stiffness: bool) -> None:
        """Enable gradients of the solver's statistics, in training.

        Args:
            stiffness: whether those of the stiffness estimates are wanted, too.

        Raises:
            ValueError: if they cannot.
        """
        self.differentiable = True

    def want_segments(self) -> None:
        """Keep the accepted steps, in training as in evaluations.

        Raises:
            ValueError: if they cannot be kept.
        """
        self.dense = True

    @abstractmethod
    def add_running_cost(self, name: str, cost: RunningCost) -> None:
        """Integrate a cost along with the state, in training, without influence on the steps.

        Raises:
            ValueError: if these dynamics cannot.
        """

    def training_times(self, times: Sequence[float]) -> Sequence[float]:
        """The times to solve for, changed in training if a regularizer says so."""
        return self.jitter(times) if self.training and self.jitter is not None else times

    def count(self, solution: Solution) -> None:
        """Keep account of the evaluations in training."""
        if self.training:
            self.solves += 1
            self.evaluations += round(solution.statistics.mean_evaluations)


def dynamics_of(model: nn.Module) -> Dynamics:
    """The differential equation of a model.

    Raises:
        ValueError: if it has none.
    """
    for module in model.modules():
        if isinstance(module, Dynamics):
            return module
    raise ValueError(
        f"{type(model).__name__} solves no differential equation; choose model=neural_ode, for instance"
    )


def solution_of(aux: dict[str, Any] | None) -> Solution:
    """The solution that a model's output carries.

    Raises:
        ValueError: if it carries none.
    """
    solution = (aux or {}).get("solution")
    if not isinstance(solution, Solution):
        raise ValueError("the model solves no differential equation; choose model=neural_ode, for instance")
    return solution
