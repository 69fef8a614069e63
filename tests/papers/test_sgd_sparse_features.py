"""Diagonal networks in their two limits, and the rate of large steps."""

from __future__ import annotations

import numpy as np
import pytest

from regrun.papers.sgd_sparse_features import DiagonalNetwork, LargeThenSmall
from samples import unrecorded


def network(scale: float, lr: float) -> dict[str, float]:
    return DiagonalNetwork(
        lr=lr, batch=None, width=30, samples=20, relevant=2, scale=scale, steps=20_000, floor=1e-16
    )(unrecorded())  # type: ignore[arg-type]


def test_small_weights_find_the_sparse_solution() -> None:
    found = network(1e-3, 0.02)
    assert found["active_inputs"] == 2
    assert found["test_error"] < 1e-4
    assert found["norm"] == pytest.approx(2, rel=0.01)  # the sum of |w|, which nothing else adds to


def test_large_weights_find_the_solution_of_least_norm() -> None:
    x = np.random.default_rng(0).standard_normal((20, 30))
    truth = np.zeros(30)
    truth[:2] = 1
    least = np.linalg.lstsq(x, x @ truth, rcond=None)[0]
    assert network(20.0, 1e-4)["test_error"] == pytest.approx(((least - truth) ** 2).sum() / 2, rel=1e-3)


def test_the_rate_rises_and_then_is_small() -> None:
    rate = LargeThenSmall(large=0.5, small=0.1, large_steps=10, small_steps=5, warmup=4).rate
    expected = [0.1, 0.2, 0.3, 0.4, *[0.5] * 6, *[0.1] * 5]
    assert [rate(step) for step in range(15)] == pytest.approx(expected)
