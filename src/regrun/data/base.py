"""The interface of a dataset: a description of its inputs, and train and test samples as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.criterion import Criterion
from regrun.contracts.inputs import InputSpec
from regrun.contracts.samples import Splits
from regrun.data.criteria import Classification
from regrun.ranges import check_finite


class Dataset(ABC):
    """A supervised task. Constructing one checks its parameters and touches no file.

    Attributes:
        inputs: shape and type of one input.
        classes: the number of classes, or of values that are to be predicted (at each time).
        criterion: loss and scores of the targets: class indices, unless a dataset overrides it.
        validation: number of samples held out for model selection.
    """

    inputs: InputSpec
    classes: int
    criterion: Criterion = Classification()
    validation: int = 0

    def files(self, data_dir: Path) -> list[Path]:
        """The files, or folders, that it is read from; none if it makes its data."""
        return []

    def is_at_hand(self, data_dir: Path) -> bool:
        """Whether its files exist and load quickly."""
        return all(file.exists() for file in self.files(data_dir))

    @abstractmethod
    def load(self, data_dir: Path, seed: int) -> Splits:
        """The samples.

        Args:
            data_dir: folder of data files.
            seed: seed of everything random about the data: the split, noise, generated samples.
        """


def split_at_random(n: int, train_fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions of the train and the test samples: a random split of ``range(n)``.

    Train gets ``int(train_fraction * n)`` samples, as in the papers' code.

    Raises:
        ValueError: if a split would have none.
    """
    order = torch.randperm(n, generator=generator)
    cut = int(train_fraction * n)
    if not 0 < cut < n:
        raise ValueError(f"train_fraction={train_fraction} of {n} samples leaves a split without samples")
    return order[:cut], order[cut:]


def check_fraction(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``0 < value < 1``."""
    check_finite(**{name: value})
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
