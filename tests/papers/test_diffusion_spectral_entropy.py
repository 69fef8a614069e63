"""Entropies of manifolds whose dimension is known."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import entropy

from regrun.papers.diffusion_spectral_entropy import EntropyOfManifolds
from samples import unrecorded


def test_binned_entropy_is_full_where_every_point_has_its_own_code() -> None:
    context = unrecorded()
    EntropyOfManifolds(samples=100, dimensions=(2, 5, 20))(context)  # type: ignore[arg-type]
    assert [row["binned_entropy"] for row in context.rows.values()] == pytest.approx([math.log2(100)] * 3)
    assert [row["binned_share"] for row in context.rows.values()] == pytest.approx([1] * 3)
    two, five, twenty = (row["diffusion_entropy"] for row in context.rows.values())
    assert two < five < twenty < math.log2(100)


def test_of_one_dimension_without_noise_is_left_one_bit() -> None:
    measure = EntropyOfManifolds(noise=0.0, dimensions=(1,), samples=50)
    found = measure(unrecorded())  # type: ignore[arg-type]
    z = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    above = float((z > (z.max() + z.min()) / 2).double().mean())
    assert found["binned_entropy"] == pytest.approx(entropy([above, 1 - above], base=2))
