"""Random text with marks after which the symbol before them is repeated."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.inputs import Tokens
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.criteria import NextToken
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole


class BackCopy(Dataset):
    """Sequences of a Markov chain in which some symbols are triggers: after one, that before it comes again.

    The rows of the chain are drawn from a Dirichlet distribution. A sequence begins with a symbol of its own,
    the last of the vocabulary; inputs are ``length`` symbols, targets the same shifted by one. Heads that
    copy have nothing to do at most positions, and attention sinks form quickly. Guo et al., arXiv 2410.13835.

    Args:
        symbols: number of symbols of the chain.
        triggers: number of triggers, which are the first symbols.
        length: length of a sequence.
        concentration: parameter of the Dirichlet distribution.
        train: sequences to train on.
        test: sequences to test on.
    """

    def __init__(
        self,
        symbols: int = 64,
        triggers: int = 3,
        length: int = 64,
        concentration: float = 0.3,
        train: int = 20_000,
        test: int = 500,
    ) -> None:
        check_whole(symbols=symbols, triggers=triggers, length=length, train=train, test=test)
        check_finite(concentration=concentration)
        if not 0 < triggers < symbols or length < 3 or min(train, test) < 1 or concentration <= 0:
            raise ValueError(
                "triggers must lie between 0 and symbols, length be at least 3, train and test at least 1, "
                "and concentration above 0"
            )
        self.symbols = symbols
        self.triggers = triggers
        self.length = length
        self.concentration = concentration
        self.train = train
        self.test = test
        self.inputs = Tokens(symbols + 1, length)
        self.classes = symbols + 1
        self.criterion = NextToken()

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if there is too little memory.
        """
        largest = max(self.train, self.test)
        check_memory(
            f"{self.train + self.test:,} sequences of {self.length:,} of {self.symbols:,} symbols",
            24 * (self.train + self.test) * (self.length + 1) + 16 * self.symbols * (self.symbols + largest),
        )
        generator = generator_of(seed)
        # A Dirichlet draw is one of independent gamma variables, normalized.
        shape = torch.full((self.symbols, self.symbols), self.concentration, dtype=torch.float64)
        chain = torch._standard_gamma(shape, generator=generator).clamp_min(1e-30)
        chain = chain / chain.sum(1, keepdim=True)
        train = self._sequences(chain, self.train, generator)
        return Splits(train, self._sequences(chain, self.test, generator))

    def _sequences(self, chain: Tensor, count: int, generator: torch.Generator) -> Samples:
        codes = torch.full((count, self.length + 1), self.symbols)
        codes[:, 1] = torch.randint(self.symbols, (count,), generator=generator)
        for t in range(2, self.length + 1):
            last, before = codes[:, t - 1], codes[:, t - 2]
            drawn = torch.multinomial(chain[last], 1, generator=generator).squeeze(1)
            copies = (last < self.triggers) & (before < self.symbols)
            codes[:, t] = torch.where(copies, before, drawn)
        y = codes[:, 1:].contiguous()
        return Samples(codes[:, :-1].contiguous(), y, y)
