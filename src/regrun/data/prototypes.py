"""Very many classes, each around a point of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from regrun.contracts.inputs import Features
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole


class Prototypes(Dataset):
    """Samples of ``classes`` random unit vectors with Gaussian noise.

    Args:
        classes: number of classes.
        dimensions: dimension of a sample.
        noise: standard deviation of every entry.
        train: samples of each class.
        test: samples of each class.
    """

    def __init__(
        self, classes: int = 1000, dimensions: int = 64, noise: float = 0.18, train: int = 8, test: int = 5
    ) -> None:
        check_whole(classes=classes, dimensions=dimensions, train=train, test=test)
        check_finite(noise=noise)
        if min(classes, dimensions, train, test) < 1 or noise < 0:
            raise ValueError("classes, dimensions, train and test must be at least 1, and noise at least 0")
        self.inputs = Features((dimensions,))
        self.classes = classes
        self.dimensions = dimensions
        self.noise = noise
        self.train = train
        self.test = test

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if there is too little memory.
        """
        count = self.classes * (self.train + self.test + 1)
        check_memory(
            f"{count:,} points of {self.dimensions:,} dimensions, around {self.classes:,} of them",
            count * (12 * self.dimensions + 8),
        )
        generator = generator_of(seed)
        centres = torch.randn(self.classes, self.dimensions, generator=generator)
        centres = centres / centres.norm(dim=1, keepdim=True)

        def samples(each: int) -> Samples:
            y = torch.arange(self.classes).repeat_interleave(each)
            noise = torch.randn(len(y), self.dimensions, generator=generator)
            return Samples(centres[y] + self.noise * noise, y, y)

        return Splits(samples(self.train), samples(self.test))
