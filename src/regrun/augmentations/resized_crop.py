"""Parts of images, enlarged."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RandomResizedCrop(nn.Module):
    """Cuts a random part out of each image and enlarges it to the whole (Szegedy et al., arXiv 1409.4842).

    The part has a uniform share of the area, and a ratio of width to height from 3/4 to 4/3, uniform in the
    logarithm; sides longer than the image's are cut down to it.

    Args:
        smallest: share of the area, in ``(0, 1]``.

    Shape:
        uint8 ``(batch, channels, height, width)``, in and out.
    """

    def __init__(self, smallest: float = 0.08) -> None:
        super().__init__()
        if not 0 < smallest <= 1:
            raise ValueError(f"smallest must lie in (0, 1], got {smallest}")
        self.smallest = smallest

    def forward(self, x: Tensor) -> Tensor:
        return resized_crops(x, self.smallest, None)


def resized_crops(x: Tensor, smallest: float, generator: torch.Generator | None) -> Tensor:
    """One random part of each image, enlarged bilinearly.

    Args:
        x: uint8 ``(batch, channels, height, width)``.
        smallest: share of the area.
        generator: of the parts, the global one if ``None``.
    """
    u = torch.rand(4, len(x), generator=generator, device=x.device)
    area = smallest + (1 - smallest) * u[0]
    ratio = torch.exp(math.log(4 / 3) * (2 * u[1] - 1))
    size = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp_max(1)  # of width and height
    place = (1 - size) * (2 * u[2:].T - 1)  # of the centre, in [-1, 1]
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = size[:, 0], size[:, 1], place
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    cut = F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
    return cut.round_().clamp_(0, 255).byte().contiguous(memory_format=torch.channels_last)
