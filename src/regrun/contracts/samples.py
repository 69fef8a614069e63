"""The samples of a dataset, split, as tensors in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """All samples of one split, held in memory.

    Attributes:
        x: inputs, ``(n, ...)``.
        y: training targets, class indices ``(n,)`` or as the dataset's criterion defines.
        clean: targets before label corruption, the same tensor as ``y`` if there is none. For probes only,
            never for a loss.
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
        train: the training samples.
        test: held out from training and from model selection.
        validation: samples for model selection, corrupted as the train split is; ``None`` if there are none.
        notes: remarks on the data: source, oddities.
    """

    train: Samples
    test: Samples
    validation: Samples | None = None
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, Samples]:
        """The existing splits by name, train first."""
        named = {"train": self.train, "test": self.test}
        return named if self.validation is None else {**named, "validation": self.validation}

    @property
    def sizes(self) -> dict[str, int]:
        """The number of samples of each split, by its label in the header."""
        return {f"{name} samples": len(samples) for name, samples in self.named.items()}

    def to(self, device: torch.device) -> Splits:
        """The same splits on another device."""
        validation = None if self.validation is None else self.validation.to(device)
        return Splits(self.train.to(device), self.test.to(device), validation, self.notes)

    def fingerprint(self) -> str:
        """A hash of every tensor of all splits, equal exactly if the data are equal."""
        digest = hashlib.sha256()
        for samples in self.named.values():
            for tensor in (samples.x, samples.y, samples.clean):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().data)
        return digest.hexdigest()[:16]
