"""Irregularly observed time series: a base, and two datasets."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regrun.contracts.inputs import Series
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset, check_fraction
from regrun.data.criteria import ObservedSeries
from regrun.data.files import misspelt
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole

BYTES_OF_A_TIME = 64  # in a tuple, and while it is made


def observed_samples(values: Tensor, observed: Tensor) -> Samples:
    """Samples to be reconstructed from their observed values.

    Args:
        values: ``(n, times, channels)``.
        observed: bool, as ``values``.
    """
    x = torch.cat([torch.where(observed, values, 0.0), observed.to(values.dtype)], -1).float()
    return Samples(x, x, x)


def drop_times(shape: torch.Size, share: float, generator: torch.Generator) -> Tensor:
    """Draw which values are observed: each time with this probability, at least two."""
    kept = torch.rand(shape[:2], generator=generator)
    at_least = kept.topk(min(2, shape[1]), dim=1).values[:, -1:]
    return ((kept >= 1 - share) | (kept >= at_least))[..., None].expand(shape)


class IrregularSinusoids(Dataset):
    """Noisy sinusoids of random frequency and phase, observed at random times.

    After the toy problem of Rubanova et al., arXiv 1907.03907. All that is random follows the seed.

    Args:
        samples: series to train on.
        test_samples: series to test on.
        points: times at which anything may be observed, evenly from 0 to 1.
        observed: share of the times at which a series is.
        noise: standard deviation of the observations.
        slowest: cycles of the slowest.
        fastest: cycles of the fastest.
        sigma: the standard deviation that the likelihood assumes.
    """

    inputs: Series
    classes = 1

    def __init__(
        self,
        samples: int = 200,
        test_samples: int = 200,
        points: int = 50,
        observed: float = 0.4,
        noise: float = 0.05,
        slowest: float = 0.5,
        fastest: float = 1.0,
        sigma: float = 0.1,
    ) -> None:
        check_whole(samples=samples, test_samples=test_samples, points=points)
        check_finite(noise=noise, slowest=slowest, fastest=fastest, sigma=sigma)
        if min(samples, test_samples) < 1 or points < 2 or noise < 0:
            raise ValueError(
                "samples and test_samples must be at least 1, points at least 2 and noise at least 0, "
                f"got {samples}, {test_samples}, {points} and {noise}"
            )
        if not 0 <= slowest <= fastest:
            raise ValueError(f"slowest must lie between 0 and fastest, got {slowest} and {fastest}")
        check_fraction("observed", observed)
        self.samples = samples
        self.test_samples = test_samples
        self.observed = observed
        self.noise = noise
        self.slowest = slowest
        self.fastest = fastest
        check_memory(f"points: {points:,} times", BYTES_OF_A_TIME * points)
        self.inputs = Series(tuple(k / (points - 1) for k in range(points)), 1)
        self.criterion = ObservedSeries(sigma)

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Draw; reads no file.

        Raises:
            ValueError: if there is too little memory.
        """
        count, points = self.samples + self.test_samples, len(self.inputs.times)
        check_memory(f"{count:,} series of {points:,} times", 40 * count * points)
        generator = generator_of(seed)
        return Splits(self.draw(self.samples, generator), self.draw(self.test_samples, generator))

    def draw(self, count: int, generator: torch.Generator) -> Samples:
        """Some series."""
        share, phase = torch.rand(2, count, 1, 1, generator=generator).unbind()
        frequency = self.slowest + (self.fastest - self.slowest) * share
        t = torch.tensor(self.inputs.times)[None, :, None]
        values = torch.sin(2 * math.pi * (frequency * t + phase))
        values = values + self.noise * torch.randn(values.shape, generator=generator)
        return observed_samples(values, drop_times(values.shape, self.observed, generator))


class ETTh1(Dataset):
    """Windows of the hourly electricity-transformer temperatures, observed at random hours.

    Seven channels, each with mean 0 and variance 1 over the hours that are trained on: the first 70 %. Test
    windows lie in the rest. Zhou et al., *Informer*, arXiv 2012.07436. Reads ``ETTh1.csv``.

    Args:
        samples: windows to train on, drawn with the seed.
        test_samples: windows to test on.
        hours: hours of a window.
        observed: share of the hours at which a window is.
        sigma: standard deviation that the likelihood assumes.
    """

    inputs: Series
    classes = 7
    FILE = "ETTh1.csv"

    def __init__(
        self,
        samples: int = 300,
        test_samples: int = 300,
        hours: int = 24,
        observed: float = 0.5,
        sigma: float = 0.1,
    ) -> None:
        check_whole(samples=samples, test_samples=test_samples, hours=hours)
        check_finite(sigma=sigma)
        if min(samples, test_samples) < 1 or hours < 2:
            raise ValueError(
                "samples and test_samples must be at least 1 and hours at least 2, "
                f"got {samples}, {test_samples} and {hours}"
            )
        check_fraction("observed", observed)
        self.samples = samples
        self.test_samples = test_samples
        self.hours = hours
        self.observed = observed
        check_memory(f"hours: {hours:,} times", BYTES_OF_A_TIME * hours)
        self.inputs = Series(tuple(k / (hours - 1) for k in range(hours)), 7)
        self.criterion = ObservedSeries(sigma)

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / self.FILE]

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if the file is missing, damaged or too short.
        """
        table = torch.from_numpy(read_table(data_dir / self.FILE)).float()
        cut = int(0.7 * len(table))
        generator = generator_of(seed)
        mean, std = table[:cut].mean(0), table[:cut].std(0)
        table = (table - mean) / std
        train, test = (
            self.windows(rows, count, generator)
            for rows, count in ((table[:cut], self.samples), (table[cut:], self.test_samples))
        )
        return Splits(train, test, notes=(f"{self.FILE}, {len(table)} hours",))

    def windows(self, rows: Tensor, count: int, generator: torch.Generator) -> Samples:
        """Some windows of consecutive hours."""
        starts = len(rows) - self.hours + 1
        if starts < count:
            raise ValueError(
                f"{count} windows of {self.hours} hours are more than the {max(0, starts)} there are"
            )
        first = torch.randperm(starts, generator=generator)[:count]
        values = rows[first[:, None] + torch.arange(self.hours)]
        return observed_samples(values, drop_times(values.shape, self.observed, generator))


def read_table(file: Path) -> np.ndarray:
    """The numbers of a file of dates and seven values, ``(rows, 7)``.

    Raises:
        ValueError: if it cannot be read as one.
    """
    if not file.is_file():
        raise ValueError(
            f"there is no {file}{misspelt(file, file.parent)}; put ETTh1.csv of the ETDataset repository "
            "there, or set data_dir"
        )
    try:
        table = np.genfromtxt(file, delimiter=",", skip_header=1, usecols=range(1, 8))
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    if table.ndim != 2:
        raise ValueError(f"{file} is damaged: it has fewer than two rows")
    if not np.isfinite(table).all():
        row = int((~np.isfinite(table)).any(1).argmax())
        raise ValueError(f"{file} is damaged: line {row + 2} has something else than seven numbers")
    return table
