"""Weights of few bits."""

from __future__ import annotations

import torch

from regrun.papers.softpick import rounded
from samples import double


def test_few_bits_have_few_values() -> None:
    weight = double(50, 50).float()
    for bits in (2, 3, 4):
        found = rounded(weight, bits)
        assert len(found.unique()) <= 2**bits - 1
        assert (
            float((found - weight).abs().amax())
            <= float(weight.abs().amax()) / (2 ** (bits - 1) - 1) / 2 + 1e-6
        )
    torch.testing.assert_close(rounded(weight, 20), weight, atol=1e-4, rtol=0)
