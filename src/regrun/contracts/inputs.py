"""What one input looks like, for a model to size itself and to read a batch as it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Inputs that are ``length`` symbols out of a vocabulary of ``vocabulary``: int64 ``(n, length)``."""

    vocabulary: int
    length: int

    def prepare(self, x: Tensor) -> Tensor:
        """What a model reads of a batch as it is stored: the same."""
        return x


@dataclass(frozen=True)
class Features:
    """Inputs that are real-valued tensors of one shape: float32 ``(n, *shape)``."""

    shape: tuple[int, ...]

    def prepare(self, x: Tensor) -> Tensor:
        """What a model reads of a batch as it is stored: the same."""
        return x


@dataclass(frozen=True)
class Images:
    """Inputs that are images: uint8 ``(n, channels, height, width)`` from 0 to 255.

    Attributes:
        shape: channels, height, width.
        mean: of each channel, where 1 is white.
        std: of each channel.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, x: Tensor) -> Tensor:
        """What a model reads: float32, each channel with mean 0 and variance 1, channels last in memory."""
        mean, scale = _normalization(self, x.device)
        # Under vmap there is one dimension more, and no such order.
        order = torch.preserve_format if is_under_vmap(x) else torch.channels_last
        pixels = x.to(torch.float32, memory_format=order, copy=True)
        return pixels.sub_(mean).mul_(scale)


def is_under_vmap(x: Tensor) -> bool:
    """Whether a tensor stands for one of many, whose values nobody can look at."""
    return torch._C._functorch.is_batchedtensor(x)


@cache
def _normalization(images: Images, device: torch.device) -> tuple[Tensor, Tensor]:
    """What is subtracted and multiplied by, made once: a copy to a GPU at each batch would stall it."""
    mean = torch.tensor(images.mean, device=device)[:, None, None] * 255
    scale = torch.tensor(images.std, device=device)[:, None, None].reciprocal() / 255
    return mean, scale


@dataclass(frozen=True)
class Series:
    """Inputs that are series observed now and then: float32 ``(n, len(times), 2 channels)``.

    The values, 0 where there is none, then 1 where a value is observed and 0 elsewhere.

    Attributes:
        times: at which anything may be observed, ascending.
        channels: values at each time.
    """

    times: tuple[float, ...]
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return (len(self.times), 2 * self.channels)

    def prepare(self, x: Tensor) -> Tensor:
        """What a model reads of a batch as it is stored: the same."""
        return x


@dataclass(frozen=True)
class InitialStates:
    """Inputs that are states at the first of some times: float32 ``(n, size)``.

    Attributes:
        times: the initial time, then those of which targets speak.
        size: entries of a state.
    """

    times: tuple[float, ...]
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return (self.size,)

    def prepare(self, x: Tensor) -> Tensor:
        """What a model reads of a batch as it is stored: the same."""
        return x


InputSpec = Tokens | Features | Images | Series | InitialStates
