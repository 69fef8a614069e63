"""The small handwritten digits that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import torch

from regrun.contracts.inputs import Features
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset, check_fraction, split_at_random
from regrun.data.generators import generator_of


class Digits(Dataset):
    """1797 digits of 8 × 8 pixels, as vectors of 64 values from 0 to 1 (Alpaydin & Kaynak 1998).

    Args:
        train_fraction: share that is trained on, strictly between 0 and 1.
    """

    def __init__(self, train_fraction: float = 0.8) -> None:
        check_fraction("train_fraction", train_fraction)
        self.train_fraction = train_fraction
        self.inputs = Features((64,))
        self.classes = 10

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Load scikit-learn's data, split by ``seed``."""
        from sklearn.datasets import load_digits  # takes a second

        found = load_digits()
        x, y = torch.tensor(found.data).float() / 16, torch.tensor(found.target)
        train, test = split_at_random(len(x), self.train_fraction, generator_of(seed))
        return Splits(Samples(x[train], y[train], y[train]), Samples(x[test], y[test], y[test]))
