"""Neurons that are waves, and others, taken away."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

from regrun.contracts.stopping import StopRequest
from regrun.data import ModularArithmetic, Samples, Splits, Tokens
from regrun.models import Quadratic
from regrun.papers.to_grok_or_not import NeuronPruning

P, WAVES = 13, 6 * 32


def half_waves() -> Quadratic:
    """Gromov's solution in the first half of the neurons, noise in the others."""
    model = Quadratic(Tokens(P, 2), P, 2 * WAVES)
    g = torch.Generator().manual_seed(0)
    s = torch.arange(WAVES) % ((P - 1) // 2) + 1
    a, b = (2 * math.pi * torch.rand(WAVES, generator=g) for _ in range(2))
    m = torch.arange(P)[:, None]
    with torch.no_grad():
        for weight in (model.first.weight, model.head.weight):
            weight.copy_(0.3 * torch.randn(weight.shape, generator=g))
        model.first.weight[:P, :WAVES] = torch.cos(2 * math.pi * s * m / P + a)
        model.first.weight[P:, :WAVES] = torch.cos(2 * math.pi * s * m / P + b)
        model.head.weight[:, :WAVES] = torch.cos(2 * math.pi * s * m / P + a + b)
    return model


def test_waves_are_kept_longest_and_compute_the_sum() -> None:
    x, y = ModularArithmetic(P).table()
    seen = y.clone()
    seen[:20] = (y[:20] + 1) % P  # labels that are wrong
    task = SimpleNamespace(
        model=half_waves(),
        inputs=SimpleNamespace(prepare=lambda x: x),
        evaluation_batch=50,
        eval=lambda: None,
    )
    splits = Splits(Samples(x, seen, y), Samples(x, y, y))
    pruning = NeuronPruning(SimpleNamespace())  # type: ignore[arg-type]
    context = SimpleNamespace(stop=StopRequest())
    found = pruning.measure(task, splits, None, context)  # type: ignore[arg-type]
    assert found["lowest_first_test/pruned=0.5"] == 1
    assert found["lowest_first_train/pruned=0.5"] == (169 - 20) / 169
    assert found["lowest_first_corrected/pruned=0.5"] == 1
    assert found["lowest_first_memorized/pruned=0.5"] == 0
    assert found["highest_first_test/pruned=0.5"] < 0.3
    assert found["lowest_first_test/pruned=0"] == found["highest_first_test/pruned=0"]
    assert math.isnan(found["ipr_gain_correlation"])  # there is no normalization
