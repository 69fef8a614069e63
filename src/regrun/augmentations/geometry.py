"""Images mirrored and moved."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HorizontalFlip(nn.Module):
    """Mirrors each image with a probability.

    Args:
        probability: in ``[0, 1]``.

    Shape:
        ``(batch, channels, height, width)`` of any type, in and out.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {probability}")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        mirrored = torch.rand(len(x), device=x.device) < self.probability
        return torch.where(mirrored[:, None, None, None], x.flip(3), x)


class RandomCrop(nn.Module):
    """Pads each image with black and cuts a window of its size at a random place.

    Args:
        padding: pixels on each side.

    Shape:
        ``(batch, channels, height, width)`` of any type, in and out.
    """

    def __init__(self, padding: int = 4) -> None:
        super().__init__()
        if padding < 1:
            raise ValueError(f"padding must be at least 1, got {padding}")
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        places = 2 * self.padding + 1
        down, right = torch.randint(places, (2, n), device=x.device)
        padded = torch.nn.functional.pad(x, (self.padding,) * 4).permute(0, 2, 3, 1)
        rows = down[:, None] + torch.arange(height, device=x.device)
        columns = right[:, None] + torch.arange(width, device=x.device)
        which = torch.arange(n, device=x.device)[:, None, None]
        return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
