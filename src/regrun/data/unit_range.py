"""Images as values from 0 to 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from regrun.contracts.inputs import Images
from regrun.contracts.samples import Splits
from regrun.data.base import Dataset
from regrun.data.derived import Derived


class UnitRange(Derived):
    """Images that models read as values from 0 to 1, rather than with mean 0 and variance 1.

    Args:
        dataset: a dataset of images.
    """

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset)
        if not isinstance(dataset.inputs, Images):
            raise ValueError("only images have a range of values; choose a dataset of images")
        channels = len(dataset.inputs.mean)
        self.inputs = replace(dataset.inputs, mean=(0.0,) * channels, std=(1.0,) * channels)

    def load(self, data_dir: Path, seed: int) -> Splits:
        return self.dataset.load(data_dir, seed)
