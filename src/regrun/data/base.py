"""What a dataset is: inputs described for the model, and train and test samples as tensors."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from regrun.data.criteria import Classification, Criterion
from regrun.ranges import check_finite, check_seed


class Mixture(NamedTuple):
    """What a mixed batch was mixed of: sample ``i`` of the batch and sample ``partner[i]`` of it.

    Attributes:
        x: the inputs before mixing, ``(batch, ...)``.
        partner: positions in the batch, ``(batch,)`` of int64.
        share: of the sample itself, ``(batch,)`` in ``[0, 1]``; the partner has the rest.
    """

    x: Tensor
    partner: Tensor
    share: Tensor


class Batch(NamedTuple):
    """Some samples of a dataset.

    Attributes:
        x: inputs, ``(batch, ...)``.
        y: targets: ``(batch,)`` of class indices, or ``(batch, classes)`` of probabilities where a
            regularizer has made them so; for other criteria as they say.
        index: each sample's position in its split, ``(batch,)`` of int64; methods that remember
            something per sample need it.
        mixture: what it was mixed of, if it was.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # tuple has a method of this name, unused here
    mixture: Mixture | None = None


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


@dataclass(frozen=True)
class Samples:
    """All samples of one split, held in memory.

    Attributes:
        x: inputs, ``(n, ...)``.
        y: targets that training sees, ``(n,)`` of class indices, or as the dataset's criterion says.
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
    """A dataset, split.

    Attributes:
        train: what is trained on.
        test: never trained on, and never chosen by.
        validation: to choose by, corrupted as the train split is; ``None`` where there is none.
        notes: what is worth a line about these data: where they come from, what is odd about them.
    """

    train: Samples
    test: Samples
    validation: Samples | None = None
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, Samples]:
        """The splits there are, by name, train first."""
        named = {"train": self.train, "test": self.test}
        return named if self.validation is None else {**named, "validation": self.validation}

    @property
    def sizes(self) -> dict[str, int]:
        """How many samples each split has, in words."""
        return {f"{name} samples": len(samples) for name, samples in self.named.items()}

    def to(self, device: torch.device) -> Splits:
        """The same splits on another device."""
        validation = None if self.validation is None else self.validation.to(device)
        return Splits(self.train.to(device), self.test.to(device), validation, self.notes)

    def fingerprint(self) -> str:
        """A hash of every tensor of all splits: equal exactly when the data are."""
        digest = hashlib.sha256()
        for samples in self.named.values():
            for tensor in (samples.x, samples.y, samples.clean):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().data)
        return digest.hexdigest()[:16]


class Dataset(ABC):
    """A supervised task. Constructing one checks its parameters and touches no file.

    Attributes:
        inputs: what one input looks like, for the model to size itself.
        classes: the number of classes, or of values that are to be predicted (at each time).
        criterion: what the targets mean: class indices, unless a dataset says otherwise.
        validation: how many samples are set apart to choose by.
    """

    inputs: InputSpec
    classes: int
    criterion: Criterion = Classification()
    validation: int = 0

    def files(self, data_dir: Path) -> list[Path]:
        """The files, or folders, that it is read from; none if it makes its data."""
        return []

    def is_at_hand(self, data_dir: Path) -> bool:
        """Whether its files are there, and are read in a moment."""
        return all(file.exists() for file in self.files(data_dir))

    @abstractmethod
    def load(self, data_dir: Path, seed: int) -> Splits:
        """The samples.

        Args:
            data_dir: where files lie, for datasets that have files.
            seed: of everything random about the data: the split, noise, generated samples.
        """


def generator_of(seed: int) -> torch.Generator:
    """The generator of everything random about data.

    Raises:
        ValueError: if there is no such seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))


def split_at_random(n: int, train_fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions of the train and the test samples: a random split of ``range(n)``.

    Train gets ``int(train_fraction * n)`` samples, as the papers' code has it.

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
