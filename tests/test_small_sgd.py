"""Small networks in numpy: their steps and gradients against automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regrun.procedures.small_sgd import Diagonal, TwoLayer


@pytest.mark.parametrize("batch", [1, 3])
def test_steps_descend_half_the_mean_squared_error(batch: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, 4)), rng.standard_normal(batch)
    two, diagonal = TwoLayer(4, 6, rng), Diagonal(4, 0.3)
    a, w = (torch.tensor(p, requires_grad=True) for p in (two.a, two.w))
    u, v = (torch.tensor(p, requires_grad=True) for p in (diagonal.u, diagonal.v))
    rows, targets = torch.tensor(x), torch.tensor(y)
    ((rows @ w.T).relu() @ a - targets).square().mean().div(2).backward()
    (rows @ (u**2 - v**2) - targets).square().mean().div(2).backward()
    two.step(x, y, 0.1)
    diagonal.step(x, y, 0.1)
    for now, p in ((two.a, a), (two.w, w), (diagonal.u, u), (diagonal.v, v)):
        assert p.grad is not None
        np.testing.assert_allclose(now, (p - 0.1 * p.grad).detach().numpy(), atol=1e-12)


def test_gradients_of_samples_are_those_of_outputs() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4))
    net = TwoLayer(4, 6, rng)
    a, w = (torch.tensor(p) for p in (net.a, net.w))
    expected = torch.func.vmap(
        torch.func.grad(lambda p, row: (row @ p[1].T).relu() @ p[0]), in_dims=(None, 0)
    )((a, w), torch.tensor(x))
    found = net.sample_gradients(x)
    np.testing.assert_allclose(found[:, :6], expected[0].numpy())
    np.testing.assert_allclose(found[:, 6:], expected[1].flatten(1).numpy())
