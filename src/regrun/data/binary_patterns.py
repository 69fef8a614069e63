"""All binary patterns of a length, labelled by a random quadratic form."""

from __future__ import annotations

from pathlib import Path

import torch

from regrun.contracts.inputs import Features
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset, check_fraction, split_at_random
from regrun.data.generators import generator_of
from regrun.ranges import check_whole


class BinaryPatterns(Dataset):
    """The ``2^bits`` patterns of -1 and 1, labelled by whether a quadratic form exceeds its median.

    ``x . A x`` with ``A`` of independent standard normal entries, drawn by the seed; both classes have half
    of the patterns. Stands in for the symmetric problem on 12 bits of Shwartz-Ziv & Tishby (arXiv
    1703.00810), whose table of labels is a file of theirs.

    Args:
        bits: number of bits of a pattern, 2 to 20.
        train_fraction: share of the patterns that is trained on, strictly between 0 and 1.
    """

    def __init__(self, bits: int = 12, train_fraction: float = 0.85) -> None:
        check_whole(bits=bits)
        if not 2 <= bits <= 20:
            raise ValueError(f"bits must lie between 2 and 20, got {bits}")
        check_fraction("train_fraction", train_fraction)
        self.bits = bits
        self.train_fraction = train_fraction
        self.inputs = Features((bits,))
        self.classes = 2

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Labelled and split by ``seed``; reads no file."""
        generator = generator_of(seed)
        form = torch.randn(self.bits, self.bits, generator=generator)
        x = 2.0 * ((torch.arange(2**self.bits)[:, None] >> torch.arange(self.bits)) & 1) - 1
        values = (x @ form * x).sum(1)
        # By rank: x and -x have equal values, and may fall on the median.
        y = torch.zeros(len(x), dtype=torch.long)
        y[values.argsort(stable=True)[len(x) // 2 :]] = 1
        train, test = split_at_random(len(x), self.train_fraction, generator)
        return Splits(Samples(x[train], y[train], y[train]), Samples(x[test], y[test], y[test]))
