"""Text as words, each to be predicted from the few before it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import torch

from regrun.contracts.inputs import Tokens
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.generators import generator_of
from regrun.data.text import FILE, read_shakespeare
from regrun.ranges import check_whole

WORD = re.compile(r"\w+|[^\w\s]|\n")


class ShakespeareWords(Dataset):
    """The words and punctuation marks of the Shakespeare text, each a class, from the ``context`` before it.

    Words are in lower case; all but the ``vocabulary - 1`` most frequent are one class, the last. The last
    tenth of the text is the test split. ``tinyshakespeare.txt`` has to lie in the data directory.

    Args:
        vocabulary: classes.
        context: words that are read.
        validation: number of train samples held out for model selection, drawn by the seed.
        train_limit: number of train samples, drawn by the seed; ``None`` for all.
        test_limit: number of test samples, likewise.
    """

    def __init__(
        self,
        vocabulary: int = 5000,
        context: int = 4,
        validation: int = 0,
        train_limit: int | None = None,
        test_limit: int | None = None,
    ) -> None:
        limits = {"train_limit": train_limit, "test_limit": test_limit}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        check_whole(vocabulary=vocabulary, context=context, validation=validation, **given)
        if vocabulary < 2 or context < 1 or validation < 0:
            raise ValueError(
                "vocabulary must be at least 2, context at least 1 and validation at least 0, "
                f"got {vocabulary}, {context} and {validation}"
            )
        for name, limit in given.items():
            if limit < 1:
                raise ValueError(f"{name} must be at least 1, or null for all, got {limit}")
        self.context = context
        self.validation = validation
        self.train_limit = train_limit
        self.test_limit = test_limit
        self.inputs = Tokens(vocabulary, context)
        self.classes = vocabulary

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / FILE]

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if the file is missing, or there are fewer words or samples than asked for.
        """
        words = WORD.findall(read_shakespeare(data_dir).lower())
        cut = len(words) * 9 // 10
        ranked = [word for word, _ in Counter(words[:cut]).most_common()]
        if len(ranked) < self.classes - 1:
            raise ValueError(f"the text has {len(ranked)} words, and vocabulary is {self.classes}")
        number = {word: k for k, word in enumerate(ranked[: self.classes - 1])}
        codes = torch.tensor([number.get(word, self.classes - 1) for word in words])
        generator = generator_of(seed)
        train = self._samples(codes[:cut], generator)
        if self.validation >= len(train):
            raise ValueError(
                f"{self.validation:,} samples for validation leave none of {len(train):,} to train on"
            )
        held, rest = train[: self.validation], train[self.validation :]
        validation = self._pick(codes[:cut], held) if self.validation else None
        test = self._samples(codes[cut:], generator)
        return Splits(
            self._pick(codes[:cut], self._limited(rest, self.train_limit)),
            self._pick(codes[cut:], self._limited(test, self.test_limit)),
            validation,
            notes=(f"{len(words):,} words, {float((codes == self.classes - 1).float().mean()):.1%} unknown",),
        )

    def _samples(self, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if (count := len(codes) - self.context) < 1:
            raise ValueError(f"{len(codes):,} words are not more than the {self.context:,} of a context")
        return torch.randperm(count, generator=generator)

    def _limited(self, order: torch.Tensor, limit: int | None) -> torch.Tensor:
        if limit is not None and limit > len(order):
            raise ValueError(f"{limit} samples are more than the {len(order)} there are")
        return order[:limit].sort().values

    def _pick(self, codes: torch.Tensor, starts: torch.Tensor) -> Samples:
        x = torch.stack([codes[starts + k] for k in range(self.context)], 1)
        y = codes[starts + self.context]
        return Samples(x, y, y)
