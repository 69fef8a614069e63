"""The Z-loss without logits."""

from __future__ import annotations

import torch

from regrun.losses import ZLoss
from regrun.papers.z_loss import factored_z_loss


def test_the_z_loss_needs_no_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    head, h = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (300, 40))
    y = torch.randint(300, (40,), generator=generator)
    loss = ZLoss(0.4, 5.0)
    factored = factored_z_loss(h, head, y, head.mean(0), head.T @ head / 300, 0.4, 5.0)
    torch.testing.assert_close(factored, loss(h @ head.T, y))
