"""Images partly hidden."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Cutout(nn.Module):
    """Hides a square around a random pixel of each image; it may reach over the edge.

    DeVries & Taylor, arXiv 1708.04552.

    Args:
        size: side of the square, in pixels.
        fill: its grey, where 1 is white.

    Shape:
        uint8 ``(batch, channels, height, width)``, in and out.
    """

    def __init__(self, size: int = 16, fill: float = 0.5) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        if not 0 <= fill <= 1:
            raise ValueError(f"fill must lie in [0, 1], got {fill}")
        self.size = size
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        hidden = [
            self._hidden(torch.randint(side, (n, 1), device=x.device), side) for side in (height, width)
        ]
        square = hidden[0][:, None, :, None] & hidden[1][:, None, None, :]
        return x.masked_fill(square, round(255 * self.fill))

    def _hidden(self, centre: Tensor, side: int) -> Tensor:
        position = torch.arange(side, device=centre.device)
        first = centre - self.size // 2
        return (position >= first) & (position < first + self.size)
