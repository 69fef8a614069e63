"""Stored crops of images, and parts of a train split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from regrun.augmentations.resized_crop import resized_crops
from regrun.contracts.inputs import Images
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.derived import Derived
from regrun.data.generators import generator_of
from regrun.data.images import stratified
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole


class TrainPart(Derived):
    """Part of another dataset's train split, stratified, or what is left without that part.

    Args:
        dataset: a dataset of class indices.
        count: samples of the part.
        rest: whether it is the others.
    """

    def __init__(self, dataset: Dataset, count: int, rest: bool = False) -> None:
        super().__init__(dataset)
        check_whole(count=count)
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count = count
        self.rest = rest

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if there are too few samples.
        """
        splits = self.dataset.load(data_dir, seed)
        y = splits.train.y
        if self.count + self.rest > len(y):
            raise ValueError(f"a part of {self.count} samples is too many of {len(y)}")
        chosen = torch.zeros(len(y), dtype=torch.bool)
        chosen[stratified(y, self.count, generator_of(seed))] = True
        return replace(splits, train=taken(splits.train, (chosen ^ self.rest).nonzero().squeeze(1)))


class StoredCrops(Derived):
    """A train split of random crops of another dataset's images, drawn once.

    Crop ``j`` of image ``i`` is sample ``i * each + j``; half of them are mirrored. Shen & Xing, arXiv
    2112.01528.

    Args:
        dataset: a dataset of images.
        each: crops of an image.
        smallest: share of the area.
    """

    def __init__(self, dataset: Dataset, each: int = 10, smallest: float = 0.08) -> None:
        super().__init__(dataset)
        if not isinstance(dataset.inputs, Images):
            raise ValueError("only images can be cropped; choose a dataset of images")
        check_whole(each=each)
        check_finite(smallest=smallest)
        if each < 1 or not 0 < smallest <= 1:
            raise ValueError(f"each must be at least 1 and smallest lie in (0, 1], got {each} and {smallest}")
        self.each = each
        self.smallest = smallest

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if there is too little memory.
        """
        splits = self.dataset.load(data_dir, seed)
        count = len(splits.train) * self.each
        check_memory(f"{count:,} crops of images", 4 * count * splits.train.x[0].numel())
        generator = generator_of(seed)
        crops = taken(splits.train, torch.arange(len(splits.train)).repeat_interleave(self.each))
        x = torch.cat([self._crop(part, generator) for part in crops.x.split(4096)])
        return replace(splits, train=replace(crops, x=x.contiguous(memory_format=torch.channels_last)))

    def _crop(self, x: Tensor, generator: torch.Generator) -> Tensor:
        cut = resized_crops(x, self.smallest, generator)
        mirrored = torch.rand(len(x), generator=generator) < 0.5
        return torch.where(mirrored[:, None, None, None], cut.flip(3), cut)


def taken(samples: Samples, index: Tensor) -> Samples:
    """The samples at these positions."""
    return Samples(samples.x[index], samples.y[index], samples.clean[index])
