"""A network that is constructed to fit any labels."""

from __future__ import annotations

import pytest
import torch

from regrun.papers.rethinking_generalization import fit


@pytest.mark.parametrize("n", [1, 2, 50, 200])
def test_the_constructed_network_fits_any_labels(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    z = torch.randn(n, generator=generator, dtype=torch.float64)
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    b, w = fit(z, y)
    hidden = (z[:, None] - b).clamp_min(0)
    torch.testing.assert_close(hidden @ w, y, atol=1e-8, rtol=0)
    ordered = (z.sort().values[:, None] - b).clamp_min(0)
    assert torch.equal(ordered, ordered.tril())
    assert (ordered.diagonal() > 0).all()
