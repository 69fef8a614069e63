"""Transformations of images before training: none, shuffled pixels, or noise."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Pixels(ABC):
    """Changes every image of both splits, once. Zhang et al., arXiv 1611.03530."""

    @abstractmethod
    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The changed images, uint8 ``(n, channels, height, width)``, as is ``x``."""

    def begin(self, shape: torch.Size, generator: torch.Generator) -> None:  # noqa: B027 (most share nothing)
        """Draw the transformation that all images share, given the shape of one."""


class OriginalPixels(Pixels):
    """The images as they are."""

    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """The images themselves."""
        return x


class ShuffledPixels(Pixels):
    """The positions of all images are permuted in the same way."""

    def begin(self, shape: torch.Size, generator: torch.Generator) -> None:
        """Draw the permutation."""
        self.order = torch.randperm(shape[-2] * shape[-1], generator=generator)

    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.flatten(2)[:, :, self.order].reshape(x.shape)


class RandomPixels(Pixels):
    """The positions of each image are permuted in a way of its own."""

    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        flat = x.flatten(2)
        order = torch.rand(len(x), flat.shape[2], generator=generator).argsort(1)
        return flat.gather(2, order[:, None].expand_as(flat)).reshape(x.shape)


class GaussianPixels(Pixels):
    """Each image is normal noise with the mean and the deviation of the images it stands for, by channel."""

    def change(self, x: Tensor, generator: torch.Generator) -> Tensor:
        values = x.double()
        mean = values.mean((0, 2, 3), keepdim=True)
        deviation = values.std((0, 2, 3), keepdim=True)
        noise = torch.randn(x.shape, generator=generator)
        return (mean + deviation * noise).round().clamp(0, 255).to(torch.uint8)
