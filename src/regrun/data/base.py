"""What a dataset is: inputs described for the model, and train and test samples as tensors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Some samples of a dataset.

    Attributes:
        x: inputs, ``(batch, ...)``.
        y: targets, ``(batch,)`` of class indices for classification.
        index: each sample's position in its split, ``(batch,)`` of int64; methods that remember
            something per sample need it.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # tuple has a method of this name, unused here


@dataclass(frozen=True)
class Tokens:
    """Inputs that are ``length`` symbols out of a vocabulary of ``vocabulary``: int64 ``(n, length)``."""

    vocabulary: int
    length: int


@dataclass(frozen=True)
class Features:
    """Inputs that are real-valued tensors of one shape: float32 ``(n, *shape)``."""

    shape: tuple[int, ...]


InputSpec = Tokens | Features


@dataclass(frozen=True)
class Samples:
    """All samples of one split, held in memory.

    Attributes:
        x: inputs, ``(n, ...)``.
        y: targets that training sees, ``(n,)``.
        clean: targets before label corruption; the same tensor as ``y`` where there is none. For
            probes only, never for a loss.
    """

    x: Tensor
    y: Tensor
    clean: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device) -> Samples:
        """The same samples on another device."""
        y = self.y.to(device)
        clean = y if self.clean is self.y else self.clean.to(device)
        return Samples(self.x.to(device), y, clean)


@dataclass(frozen=True)
class Splits:
    """A dataset, split. ``test`` is never trained on."""

    train: Samples
    test: Samples

    def fingerprint(self) -> str:
        """A hash of every tensor of both splits: equal exactly when the data are."""
        digest = hashlib.sha256()
        for samples in (self.train, self.test):
            for tensor in (samples.x, samples.y, samples.clean):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


class Dataset(ABC):
    """A classification task. Constructing one checks its parameters and touches no file.

    Attributes:
        inputs: what one input looks like, for the model to size itself.
        classes: the number of classes.
    """

    inputs: InputSpec
    classes: int

    @abstractmethod
    def load(self, data_dir: Path, seed: int) -> Splits:
        """The samples.

        Args:
            data_dir: where files lie, for datasets that have files.
            seed: of everything random about the data: the split, noise, generated samples.
        """


def split_at_random(n: int, train_fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions of the train and the test samples: a random split of ``range(n)``.

    Train gets ``int(train_fraction * n)`` samples, as the papers' code has it.
    """
    order = torch.randperm(n, generator=generator)
    cut = int(train_fraction * n)
    return order[:cut], order[cut:]


def check_fraction(name: str, value: float) -> None:
    """Raise ``ValueError`` unless ``0 < value < 1``."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
