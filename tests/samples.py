"""Random logits and mixtures, a small classifier with features, and a run that records nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from regrun.contracts.stopping import StopRequest
from regrun.data import Batch, Features, Images
from regrun.measures.mixture import GaussianMixture
from regrun.models import MLP, Output
from regrun.regularizers import Step

N, CLASSES = 40, 6
Y = torch.arange(N) % CLASSES
PIXELS = Images((3, 8, 8), (0.5,) * 3, (0.2,) * 3)


def drawn(*shape: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def double(*shape: int, seed: int = 0) -> Tensor:
    return drawn(*shape, scale=1.0, seed=seed)


def with_constant(f: Tensor) -> Tensor:
    return torch.cat([f, f.new_ones(len(f), 1)], 1)


def mixture(n: int = 6, components: int = 3) -> GaussianMixture:
    generator = torch.Generator().manual_seed(0)
    weight, mean, std = torch.randn(3, n, components, generator=generator, dtype=torch.float64)
    return GaussianMixture(weight.log_softmax(1), 2 * mean, std.exp())


def step_of(z: Tensor, y: Tensor = Y, features: Tensor | None = None, task: Any = None, **more: Any) -> Step:
    place = {"number": 0, "epoch": 0} | more
    return Step(Batch(z, y, torch.arange(len(y))), Output(z, features), task, **place)


def classifier() -> tuple[MLP, Tensor, SimpleNamespace]:
    torch.manual_seed(0)
    model = MLP(Features((5,)), CLASSES, hidden=(7,), bias=False, activation="tanh")
    return model, torch.randn(N, 5), SimpleNamespace(model=model, classes=CLASSES)


def unrecorded(seed: int = 0) -> SimpleNamespace:
    """A procedure's context that keeps what is logged in ``rows``, by step."""
    rows: dict[int, dict[str, float]] = {}
    return SimpleNamespace(
        seed=seed,
        data_dir=Path(),
        rows=rows,
        stop=StopRequest(),
        begin=lambda description: None,
        log=rows.__setitem__,
        show=lambda step, loss: None,
    )
