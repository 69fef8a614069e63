"""A base for algorithmic datasets: operations on pairs, given as tables."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from torch import Tensor

from regrun.contracts.inputs import Tokens
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset, check_fraction, split_at_random
from regrun.data.generators import generator_of
from regrun.data.label_noise import redraw_labels
from regrun.ranges import check_finite, check_whole


class OperationTable(Dataset):
    """Every pair of symbols, labelled with the result of an operation, split at random.

    An input is two symbols, int64 ``(n, 2)``; models look them up or read them as one-hot vectors. The pairs
    stand once each, in lexicographic order, before the split.

    Args:
        symbols: number of symbols, which include the results.
        train_fraction: share of the pairs that is trained on, strictly between 0 and 1.
        label_corruption: share of the train labels that is drawn anew, uniformly, in ``[0, 1]``. The test
            labels stay clean.
        include_true: whether a label that is drawn anew may be the true one.
        validation: number of held-out pairs used for model selection.

    Raises:
        ValueError: if a parameter is out of its range.
    """

    def __init__(
        self,
        symbols: int,
        train_fraction: float,
        label_corruption: float,
        include_true: bool,
        validation: int = 0,
    ) -> None:
        check_fraction("train_fraction", train_fraction)
        check_whole(validation=validation)
        check_finite(label_corruption=label_corruption)
        if not 0 <= label_corruption <= 1:
            raise ValueError(f"label_corruption must lie in [0, 1], got {label_corruption}")
        if validation < 0:
            raise ValueError(f"validation must be at least 0, got {validation}")
        self.train_fraction = train_fraction
        self.validation = validation
        self.label_corruption = label_corruption
        self.include_true = include_true
        self.inputs = Tokens(vocabulary=symbols, length=2)
        self.classes = symbols

    def load(self, data_dir: Path, seed: int) -> Splits:
        """All pairs, split and corrupted by ``seed``; reads no file."""
        x, y = self.table()
        generator = generator_of(seed)
        train, test = split_at_random(len(x), self.train_fraction, generator)
        apart, test = test[: self.validation], test[self.validation :]
        if not len(train) or not len(test):
            raise ValueError(
                f"train_fraction={self.train_fraction} of {len(x)} pairs"
                + (f" and {self.validation} for validation" if self.validation else "")
                + " leave a split without samples"
            )
        clean = y[train]
        noisy = redraw_labels(clean, self.classes, self.label_corruption, generator, self.include_true)
        held = Samples(x[apart], y[apart], y[apart]) if self.validation else None
        return Splits(Samples(x[train], noisy, clean), Samples(x[test], y[test], y[test]), held)

    @abstractmethod
    def table(self) -> tuple[Tensor, Tensor]:
        """Every pair and its label: int64 ``(n, 2)`` and ``(n,)``."""
