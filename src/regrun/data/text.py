"""Text as sequences of characters."""

from __future__ import annotations

from pathlib import Path

import torch

from regrun.contracts.inputs import Tokens
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.criteria import NextToken
from regrun.data.files import misspelt
from regrun.data.generators import generator_of
from regrun.ranges import check_whole

FILE = "tinyshakespeare.txt"
CHARACTERS = 65  # distinct ones in the file


class TinyShakespeare(Dataset):
    """Some 1.1 million characters of Shakespeare (Karpathy 2015), cut into windows that do not overlap.

    An input is ``context`` characters, its targets are the same ones, shifted by one. The last tenth of the
    text is the test split. ``tinyshakespeare.txt`` has to lie in the data directory.

    Args:
        context: characters of a window.
        train_limit: number of training windows, drawn by the seed; ``None`` for all.
        test_limit: number of test windows, likewise.
    """

    def __init__(
        self, context: int = 64, train_limit: int | None = None, test_limit: int | None = None
    ) -> None:
        limits = {"train_limit": train_limit, "test_limit": test_limit}
        check_whole(context=context, **{name: limit for name, limit in limits.items() if limit is not None})
        if context < 2:
            raise ValueError(f"context must be at least 2, got {context}")
        for name, limit in limits.items():
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, or null for all, got {limit}")
        self.context = context
        self.train_limit = train_limit
        self.test_limit = test_limit
        self.inputs = Tokens(CHARACTERS, context)
        self.classes = CHARACTERS
        self.criterion = NextToken()

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / FILE]

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if the file is missing or is another text.
        """
        text = read_shakespeare(data_dir)
        symbols = sorted(set(text))
        if len(symbols) != CHARACTERS:
            raise ValueError(f"{FILE} has {len(symbols)} distinct characters; {CHARACTERS} were expected")
        number = {symbol: k for k, symbol in enumerate(symbols)}
        codes = torch.tensor([number[symbol] for symbol in text])
        cut = len(codes) * 9 // 10
        generator = generator_of(seed)
        train, test = (
            self._windows(part, limit, generator)
            for part, limit in ((codes[:cut], self.train_limit), (codes[cut:], self.test_limit))
        )
        return Splits(train, test, notes=(f"{FILE}, {len(text):,} characters",))

    def _windows(self, codes: torch.Tensor, limit: int | None, generator: torch.Generator) -> Samples:
        count = (len(codes) - 1) // self.context
        if count < 1 or (limit is not None and limit > count):
            raise ValueError(
                f"{limit or 1} windows of {self.context} characters are more than the {count} there are"
            )
        x = codes[: count * self.context].view(count, self.context)
        y = codes[1 : count * self.context + 1].view(count, self.context)
        chosen = torch.randperm(count, generator=generator)[:limit].sort().values
        return Samples(x[chosen], y[chosen], y[chosen])


def read_shakespeare(data_dir: Path) -> str:
    """The text.

    Raises:
        ValueError: if the file is missing, or is no text.
    """
    file = data_dir / FILE
    if not file.is_file():
        raise ValueError(
            f"there is no {file}{misspelt(file, data_dir)}; put {FILE} of the char-rnn repository there, or "
            "set data_dir"
        )
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is damaged, or another text: {error}") from error
