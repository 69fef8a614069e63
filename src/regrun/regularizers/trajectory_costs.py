"""Penalties integrated along the trajectory: higher derivatives, speed and the Jacobian."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from regrun.contracts.task import Step, Task
from regrun.models.dynamics import dynamics_of
from regrun.regularizers.base import Regularizer
from regrun.solvers.stepping import Field


class TrajectoryCost(Regularizer):
    """``weight * mean over the batch of int r(t, u(t)) dt``, integrated along with the state.

    The integral has no influence on the steps.

    Args:
        name: name of the integral.
        weight: weight of the penalty, at least 0.
    """

    def __init__(self, name: str, weight: float) -> None:
        super().__init__()
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {name} must be at least 0, got {weight}")
        self.name = name
        self.weight = weight

    def attach(self, task: Task) -> None:
        """Integrate the cost along with the state."""
        dynamics_of(task.model).add_running_cost(self.name, self.rate)

    @abstractmethod
    def rate(self, field: Field, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """``f(t, u)`` and ``r(t, u)``: ``(batch, size)`` and ``(batch,)``."""

    def penalty(self, step: Step) -> Tensor:
        integral: Tensor = (step.output.aux or {})[self.name]
        return self.weight * integral.mean()


class TayNODE(TrajectoryCost):
    """Penalizes ``int |d^K u / dt^K|^2 dt``: trajectories that are nearly polynomials are easy to solve.

    The derivatives follow from ``d/dt g(t, u(t)) = dg/dt + dg/du f``, by forward-mode differentiation. Kelly
    et al., *Learning differential equations that are easy to solve*, arXiv 2007.04504.

    Args:
        order: ``K``, 2 to 4.
        weight: weight of the penalty, at least 0.
    """

    def __init__(self, order: int = 2, weight: float = 3.02e-3) -> None:
        super().__init__("taynode", weight)
        if not 2 <= order <= 4:
            raise ValueError(f"order must be 2, 3 or 4, got {order}")
        self.order = order

    def rate(self, field: Field, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        slope, highest = total_derivatives(field, t, u, self.order)
        return slope, highest.square().sum(1)


def total_derivatives(field: Field, t: Tensor, u: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """``du/dt`` and ``d^order u / dt^order`` of the solution through ``u`` at ``t``."""

    def derive(order: int, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        if order == 1:
            slope = field(t, u)
            return slope, slope
        slope = field(t, u)
        along = (torch.ones_like(t), slope)
        tangent: Tensor = torch.func.jvp(lambda t, u: derive(order - 1, t, u)[1], (t, u), along)[1]
        return slope, tangent

    return derive(order, t, u)


class RNODE(TrajectoryCost):
    """Penalizes ``int kinetic |f|^2 + jacobian |e^T df/du|^2 dt``: slow and straight flows.

    ``e`` is standard normal, drawn for each batch, so that the second term is the squared Frobenius norm of
    the Jacobian in expectation. Finlay et al., *How to train your neural ODE*, arXiv 2002.02798.

    Args:
        kinetic: weight of the first.
        jacobian: weight of the second.
    """

    def __init__(self, kinetic: float = 0.01, jacobian: float = 0.01) -> None:
        super().__init__("rnode", 1.0)
        if not (0 <= kinetic < math.inf and 0 <= jacobian < math.inf):
            raise ValueError(f"kinetic and jacobian must be at least 0, got {kinetic} and {jacobian}")
        self.kinetic = kinetic
        self.jacobian = jacobian
        self._direction: Tensor | None = None

    def penalty(self, step: Step) -> Tensor:
        """Redraw the direction for the next batch."""
        self._direction = None
        return super().penalty(step)

    def rate(self, field: Field, t: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        if not self.jacobian:
            slope = field(t, u)
            return slope, self.kinetic * slope.square().sum(1)
        if self._direction is None or self._direction.shape != u.shape:
            self._direction = torch.randn_like(u)
        linearized = torch.func.vjp(lambda u: field(t, u), u)
        slope, (product,) = linearized[0], linearized[1](self._direction)
        return slope, self.kinetic * slope.square().sum(1) + self.jacobian * product.square().sum(1)
