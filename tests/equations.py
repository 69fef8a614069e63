"""Small neural differential equations, and what stands in for a task."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regrun.data import Batch, Features
from regrun.models import NeuralODE
from regrun.regularizers import (
    Regularizer,
    Step,
)
from regrun.solvers import ODESolver

PLANE = Features((3,))
START = torch.tensor([[0.5, -0.2, 0.1], [1.0, 0.3, -0.7]], dtype=torch.float64)


class FakeTask:
    """What regularizers and probes know of a task."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def step_of(model: nn.Module, x: Tensor, number: int = 0, epoch: int = 0) -> Step:
    output = model(x)
    batch = Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)))
    return Step(batch, output, FakeTask(model), number, epoch)  # type: ignore[arg-type]


def neural_ode(regularizer: Regularizer | None = None, **arguments: Any) -> NeuralODE:
    torch.manual_seed(0)
    model = NeuralODE(PLANE, 2, hidden=[8], solver=ODESolver(**arguments)).double()
    if regularizer is not None:
        regularizer.attach(FakeTask(model))  # type: ignore[arg-type]
    return model


class LinearField(nn.Module):
    """``f(t, u) = A u``."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return u @ self.matrix.T


def linear_model(matrix: Tensor, regularizer: Regularizer) -> NeuralODE:
    model = neural_ode(regularizer, rtol=1e-10, atol=1e-10)
    model.dynamics.field = LinearField(matrix)
    return model
