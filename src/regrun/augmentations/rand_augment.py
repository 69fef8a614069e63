"""Random operations of random strength on each image."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 30  # of a magnitude, as in the paper
Operation = Callable[[Tensor, Tensor], Tensor]  # images in [0, 1] and a signed strength in [-1, 1] each


class RandAugment(nn.Module):
    """Applies some operations, drawn for each image, all at one magnitude.

    In the manner of Cubuk et al., arXiv 1909.13719: identity, rotation, shears, translations, brightness,
    contrast, saturation, sharpness, posterization, solarization, autocontrast. Whole batches are changed at
    once: each operation acts on the images that drew it. Histogram equalization is left out.

    Args:
        operations: how many are applied to each image, one after another.
        magnitude: from 0 to 30.

    Shape:
        uint8 ``(batch, channels, height, width)``, in and out.
    """

    def __init__(self, operations: int = 2, magnitude: float = 9) -> None:
        super().__init__()
        if operations < 1:
            raise ValueError(f"operations must be at least 1, got {operations}")
        if not 0 <= magnitude <= LARGEST:
            raise ValueError(f"magnitude must lie in [0, {LARGEST}], got {magnitude}")
        self.operations = operations
        self.strength = magnitude / LARGEST

    def forward(self, x: Tensor) -> Tensor:
        images = x.float() / 255
        for _ in range(self.operations):
            drawn = torch.randint(len(OPERATIONS), (len(x),), device=x.device)
            sign = torch.randint(2, (len(x),), device=x.device) * 2.0 - 1
            result = images.clone()
            for number, operation in enumerate(OPERATIONS):
                mine = (drawn == number).nonzero().squeeze(1)
                result[mine] = operation(images[mine], sign[mine] * self.strength)
            images = result.clamp_(0, 1)
        return (images * 255).round().to(x.dtype)


def affine(theta: Callable[[Tensor], Tensor]) -> Operation:
    """A linear map of coordinates, about the centre; what comes from outside is grey."""

    def apply(x: Tensor, s: Tensor) -> Tensor:
        grid = F.affine_grid(theta(s), list(x.shape), align_corners=False)
        return F.grid_sample(x - 0.5, grid, align_corners=False) + 0.5

    return apply


def matrix(s: Tensor, shear_x: Any = 0.0, shear_y: Any = 0.0, move_x: Any = 0.0, move_y: Any = 0.0) -> Tensor:
    """The identity with a shear or a translation, of each image: ``(batch, 2, 3)``."""
    result = torch.eye(2, 3, device=s.device).repeat(len(s), 1, 1)
    result[:, 0, 1], result[:, 1, 0] = shear_x, shear_y
    result[:, 0, 2], result[:, 1, 2] = move_x, move_y
    return result


def rotation(s: Tensor) -> Tensor:
    """By up to 30 degrees."""
    result = matrix(s)
    angle = s * math.pi / 6
    result[:, 0, 0] = result[:, 1, 1] = angle.cos()
    result[:, 0, 1], result[:, 1, 0] = -angle.sin(), angle.sin()
    return result


def blend(x: Tensor, degenerate: Tensor, s: Tensor) -> Tensor:
    """From the degenerate image (-0.9) past the image itself (0) to its exaggeration (0.9)."""
    return degenerate + (1 + 0.9 * s[:, None, None, None]) * (x - degenerate)


def grey(x: Tensor) -> Tensor:
    """Luminance, as one channel."""
    if x.shape[1] == 1:
        return x
    weights = x.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (x * weights).sum(1, keepdim=True)


def posterize(x: Tensor, s: Tensor) -> Tensor:
    """To 8 down to 4 bits."""
    levels = (2 ** (8 - (4 * s.abs()).round()))[:, None, None, None]
    return (x * 255 / 256 * levels).floor() / levels * 256 / 255


def autocontrast(x: Tensor, s: Tensor) -> Tensor:
    """Each channel stretched to the full range."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp_min(1e-6), x)


def blur(x: Tensor) -> Tensor:
    """The mean over 3 × 3 pixels."""
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


OPERATIONS: tuple[Operation, ...] = (
    lambda x, s: x,
    affine(rotation),
    affine(lambda s: matrix(s, shear_x=0.3 * s)),
    affine(lambda s: matrix(s, shear_y=0.3 * s)),
    affine(lambda s: matrix(s, move_x=0.9 * s)),
    affine(lambda s: matrix(s, move_y=0.9 * s)),
    lambda x, s: blend(x, torch.zeros_like(x), s),
    lambda x, s: blend(x, grey(x).mean((2, 3), keepdim=True), s),
    lambda x, s: blend(x, grey(x), s),
    lambda x, s: blend(x, blur(x), s),
    posterize,
    lambda x, s: torch.where(x <= (1 - s.abs())[:, None, None, None], x, 1 - x),
    autocontrast,
)
