"""The shape and type of one input, which size a model and prepare a batch for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Sequences of ``length`` tokens from a vocabulary of size ``vocabulary``: int64 ``(n, length)``."""

    vocabulary: int
    length: int

    def prepare(self, x: Tensor) -> Tensor:
        """Return the batch unchanged."""
        return x


@dataclass(frozen=True)
class Features:
    """Real-valued tensors of one shape: float32 ``(n, *shape)``."""

    shape: tuple[int, ...]

    def prepare(self, x: Tensor) -> Tensor:
        """Return the batch unchanged."""
        return x


@dataclass(frozen=True)
class Images:
    """Images: uint8 ``(n, channels, height, width)`` from 0 to 255.

    Attributes:
        shape: channels, height, width.
        mean: the mean of each channel, on a scale where 1 is white.
        std: the standard deviation of each channel.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, x: Tensor) -> Tensor:
        """Normalize a batch: float32, each channel with mean 0 and variance 1, channels last in memory."""
        mean, scale = _normalization(self, x.device)
        # A tensor under vmap has one more dimension, for which this format does not exist.
        order = torch.preserve_format if is_under_vmap(x) else torch.channels_last
        pixels = x.to(torch.float32, memory_format=order, copy=True)
        return pixels.sub_(mean).mul_(scale)


def is_under_vmap(x: Tensor) -> bool:
    """Whether a tensor is batched by vmap, so that its values cannot be read."""
    return torch._C._functorch.is_batchedtensor(x)


@cache
def _normalization(images: Images, device: torch.device) -> tuple[Tensor, Tensor]:
    """The mean and the factor to normalize by, cached: a copy to a GPU for each batch would stall it."""
    mean = torch.tensor(images.mean, device=device)[:, None, None] * 255
    scale = torch.tensor(images.std, device=device)[:, None, None].reciprocal() / 255
    return mean, scale


@dataclass(frozen=True)
class Series:
    """Irregularly observed time series: float32 ``(n, len(times), 2 channels)``.

    The first half holds the values, 0 if unobserved; the second half is 1 where a value is observed, else 0.

    Attributes:
        times: ascending times at which a value may be observed.
        channels: number of values at each time.
    """

    times: tuple[float, ...]
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (len(self.times), 2 * self.channels)

    def prepare(self, x: Tensor) -> Tensor:
        """Return the batch unchanged."""
        return x


@dataclass(frozen=True)
class InitialStates:
    """Initial states: float32 ``(n, size)``.

    Attributes:
        times: the initial time, then the times of the targets.
        size: dimension of a state.
    """

    times: tuple[float, ...]
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return (self.size,)

    def prepare(self, x: Tensor) -> Tensor:
        """Return the batch unchanged."""
        return x


InputSpec = Tokens | Features | Images | Series | InitialStates
