"""Mixtures of Gaussians on the line: distribution, quantiles and scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture for each of ``n`` predictions.

    Attributes:
        log_weight: logarithms of the components' weights, ``(n, components)``.
        mean: ``(n, components)``.
        std: ``(n, components)``, above 0.
    """

    log_weight: Tensor
    mean: Tensor
    std: Tensor

    def log_density(self, y: Tensor) -> Tensor:
        """At one point for each prediction, ``(n,)``."""
        z = (y[:, None] - self.mean) / self.std
        logs = self.log_weight - z.square() / 2 - self.std.log() - math.log(2 * math.pi) / 2
        return logs.logsumexp(1)

    def cdf(self, y: Tensor) -> Tensor:
        """At one point for each prediction, ``(n,)``."""
        z = (y[:, None] - self.mean) / self.std
        return (self.log_weight.exp() * torch.special.ndtr(z)).sum(1)

    def quantile(self, level: float, rounds: int = 80) -> Tensor:
        """The points at which the distribution function is ``level``, by bisection in float64, ``(n,)``."""
        return bisect(lambda y: self.cdf(y), level, self.mean, self.std, rounds)

    def deviation(self) -> Tensor:
        """Standard deviations, ``(n,)``."""
        weight = self.log_weight.exp()
        mean = (weight * self.mean).sum(1, keepdim=True)
        return (weight * (self.std.square() + (self.mean - mean).square())).sum(1).sqrt()

    def crps(self, y: Tensor) -> Tensor:
        """Continuous ranked probability scores, ``(n,)``: the smaller the better. Grimit et al. 2006."""
        weight = self.log_weight.exp()
        near = (weight * mean_distance(y[:, None] - self.mean, self.std)).sum(1)
        apart = self.mean[:, :, None] - self.mean[:, None]
        spread = (self.std[:, :, None].square() + self.std[:, None].square()).sqrt()
        pairs = weight[:, :, None] * weight[:, None] * mean_distance(apart, spread)
        return near - pairs.sum((1, 2)) / 2


def mean_distance(mean: Tensor, std: Tensor) -> Tensor:
    """``E |X|`` of a Gaussian ``X``."""
    z = mean / std
    return std * math.sqrt(2 / math.pi) * (-z.square() / 2).exp() + mean * (2 * torch.special.ndtr(z) - 1)


def bisect(cdf: object, level: float, mean: Tensor, std: Tensor, rounds: int) -> Tensor:
    """Where increasing functions of the line, one for each row, reach a level."""
    low = (mean - 40 * std).amin(1).double()
    high = (mean + 40 * std).amax(1).double()
    for _ in range(rounds):
        middle = (low + high) / 2
        above = cdf(middle) >= level  # type: ignore[operator]
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return high
