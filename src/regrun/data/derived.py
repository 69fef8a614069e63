"""Datasets made of other datasets: smaller images, and classes that are ever rarer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.inputs import Images
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.generators import generator_of
from regrun.ranges import check_finite, check_whole


class Derived(Dataset):
    """The samples of another dataset, changed.

    Args:
        dataset: the other one.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.inputs = dataset.inputs
        self.classes = dataset.classes
        self.criterion = dataset.criterion
        self.validation = dataset.validation

    def files(self, data_dir: Path) -> list[Path]:
        return self.dataset.files(data_dir)

    def is_at_hand(self, data_dir: Path) -> bool:
        return self.dataset.is_at_hand(data_dir)


class Downsampled(Derived):
    """Downsampled images: each pixel is the mean of ``factor`` × ``factor`` original pixels.

    Args:
        dataset: a dataset of images.
        factor: divides height and width.
    """

    def __init__(self, dataset: Dataset, factor: int = 2) -> None:
        super().__init__(dataset)
        if not isinstance(dataset.inputs, Images):
            raise ValueError("only images can be made smaller; choose a dataset of images")
        check_whole(factor=factor)
        channels, height, width = dataset.inputs.shape
        if factor < 1 or height % factor or width % factor:
            raise ValueError(f"factor must divide {height} and {width}, got {factor}")
        self.factor = factor
        self.inputs = replace(dataset.inputs, shape=(channels, height // factor, width // factor))

    def load(self, data_dir: Path, seed: int) -> Splits:
        splits = self.dataset.load(data_dir, seed)
        validation = None if splits.validation is None else self._shrink(splits.validation)
        return Splits(self._shrink(splits.train), self._shrink(splits.test), validation, splits.notes)

    def _shrink(self, samples: Samples) -> Samples:
        parts = [F.avg_pool2d(part.float(), self.factor).round().byte() for part in samples.x.split(4096)]
        x = torch.cat(parts).to(memory_format=torch.channels_last)
        return replace(samples, x=x)


class LongTailed(Derived):
    """A classification problem whose classes are ever rarer, in the order of their numbers.

    Of class ``c`` there stay ``round(largest * imbalance^(-c / (classes - 1)))`` train samples, drawn by the
    seed; the other splits stay as they are. Cui et al., arXiv 1901.05555.

    Args:
        dataset: a dataset of class indices.
        largest: samples of class 0.
        imbalance: times more than of the last class.
    """

    def __init__(self, dataset: Dataset, largest: int = 1000, imbalance: float = 100.0) -> None:
        super().__init__(dataset)
        check_whole(largest=largest)
        check_finite(imbalance=imbalance)
        if largest < 1 or imbalance < 1:
            raise ValueError(f"largest and imbalance must be at least 1, got {largest} and {imbalance}")
        self.largest = largest
        self.imbalance = imbalance

    @property
    def counts(self) -> list[int]:
        """The number of samples of each class."""
        last = max(1, self.classes - 1)
        return [round(self.largest * self.imbalance ** (-c / last)) for c in range(self.classes)]

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if a class has too few samples.
        """
        splits = self.dataset.load(data_dir, seed)
        train = splits.train
        generator = generator_of(seed)
        kept: list[Tensor] = []
        for label, count in enumerate(self.counts):
            mine = (train.y == label).nonzero().squeeze(1)
            if len(mine) < count:
                raise ValueError(f"class {label} has {len(mine)} samples, fewer than the {count} wanted")
            kept.append(mine[torch.randperm(len(mine), generator=generator)[:count]])
        index = torch.cat(kept).sort().values
        chosen = Samples(train.x[index], train.y[index], train.clean[index])
        return replace(splits, train=chosen)
