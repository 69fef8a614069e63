"""Sparse parity: the label is the parity of a few bits among many."""

from __future__ import annotations

from pathlib import Path

import torch

from regrun.contracts.inputs import Features
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset, check_fraction, split_at_random
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_whole


class SparseParity(Dataset):
    """Distinct random bit strings labelled with the parity of their first ``relevant`` bits.

    Inputs are float32 ``(samples, relevant + noise)`` of zeros and ones, labels 0 (even) or 1 (odd).
    Barak et al., *Hidden Progress in Deep Learning*, arXiv 2207.08799.

    Args:
        relevant: number of bits that decide the label.
        noise: number of irrelevant bits.
        samples: number of strings, drawn without repetition.
        train_fraction: share of them that is trained on, strictly between 0 and 1.

    Raises:
        ValueError: if a parameter is out of its range or there are fewer strings than ``samples``.
    """

    def __init__(
        self, relevant: int = 3, noise: int = 40, samples: int = 2000, train_fraction: float = 0.5
    ) -> None:
        check_whole(relevant=relevant, noise=noise, samples=samples)
        if relevant < 1 or noise < 0 or samples < 2:
            raise ValueError(
                "relevant must be at least 1, noise at least 0 and samples at least 2, "
                f"got {relevant}, {noise} and {samples}"
            )
        bits = relevant + noise
        if bits > 62:
            raise ValueError(f"relevant + noise must be at most 62 bits, got {bits}")
        if samples > 2**bits:
            raise ValueError(f"{bits} bits make only {2**bits} strings, fewer than samples={samples}")
        check_fraction("train_fraction", train_fraction)
        self.relevant = relevant
        self.noise = noise
        self.samples = samples
        self.train_fraction = train_fraction
        self.inputs = Features((bits,))
        self.classes = 2

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Strings drawn and split by ``seed``; reads no file.

        Raises:
            ValueError: if there is too little memory.
        """
        bits = self.relevant + self.noise
        check_memory(f"{self.samples:,} strings of {bits} bits", self.samples * (24 * bits + 200))
        generator = generator_of(seed)
        codes = draw_distinct(2 ** (self.relevant + self.noise), self.samples, generator)
        x = (codes[:, None] >> torch.arange(self.relevant + self.noise)) & 1
        y = x[:, : self.relevant].sum(1) % 2
        train, test = split_at_random(self.samples, self.train_fraction, generator)
        x = x.float()
        return Splits(Samples(x[train], y[train], y[train]), Samples(x[test], y[test], y[test]))


def draw_distinct(upper: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` distinct integers of ``range(upper)``, uniform over such sequences: int64 ``(count,)``."""
    if upper <= 4 * count:
        return torch.randperm(upper, generator=generator)[:count]
    seen: dict[int, None] = {}
    while len(seen) < count:
        drawn = torch.randint(upper, (count - len(seen),), generator=generator)
        seen.update(dict.fromkeys(drawn.tolist()))
    return torch.tensor(list(seen))
