"""Gumbel noise and the softmax of it, against PyTorch's, closed forms and limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from regrun.probability_maps.gumbel_softmax import GumbelSoftmax, gumbel_noise, straight_through


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gumbel_noise_has_its_distribution(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    g = gumbel_noise(torch.empty(200_000, dtype=dtype))
    assert g.isfinite().all()
    assert float(g.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(g.std()) == pytest.approx(math.pi / 6**0.5, rel=0.01)


def test_gumbel_samples_are_pytorchs_and_hard_ones_have_the_soft_gradient() -> None:
    z = torch.randn(1, 5, generator=torch.Generator().manual_seed(0)).expand(100_000, 5)
    torch.manual_seed(0)
    ours, theirs = GumbelSoftmax(0.7)(z), F.gumbel_softmax(z, tau=0.7)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=5e-3, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=5e-3, rtol=0)
    shares = GumbelSoftmax(0.7, hard=True)(z).mean(0)
    torch.testing.assert_close(shares, z[0].softmax(0), atol=6e-3, rtol=0)
    soft = torch.rand(4, 5, requires_grad=True)
    weight = torch.randn(4, 5)
    (straight_through(soft) * weight).sum().backward()
    torch.testing.assert_close(soft.grad, weight)
    assert (straight_through(soft.detach()).sum(1) == 1).all()


def test_cold_samples_are_one_hot_and_hot_ones_even() -> None:
    torch.manual_seed(0)
    z = torch.randn(500, 6)
    assert float(GumbelSoftmax(0.01)(z).amax(1).mean()) > 0.98
    torch.testing.assert_close(GumbelSoftmax(1e4)(z), torch.full((500, 6), 1 / 6), atol=1e-2, rtol=0)
    with pytest.raises(ValueError, match="above 0"):
        GumbelSoftmax(0)
