"""Who liked what: implicit feedback of users on items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from regrun.data.files import misspelt
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole


@dataclass(frozen=True)
class Feedback:
    """Items that users liked, in three parts of each user's.

    Attributes:
        train: bool ``(users, items)``.
        validation: bool ``(users, items)``.
        test: bool ``(users, items)``.
    """

    train: Tensor
    validation: Tensor
    test: Tensor


class FeedbackData(ABC):
    """Implicit feedback, split at random for each user: 80 % to train, a tenth to validate and to test."""

    @abstractmethod
    def liked(self, data_dir: Path, generator: torch.Generator) -> Tensor:
        """Bool ``(users, items)``."""

    def load(self, data_dir: Path, seed: int) -> Feedback:
        """The three parts.

        Args:
            data_dir: folder of data files.
            seed: seed of the split, and of drawn data.
        """
        generator = generator_of(seed)
        liked = self.liked(data_dir, generator)
        # Each user's liked items in a random order; the first tenth validates, the second tests.
        rank = torch.rand(liked.shape, generator=generator).where(liked, 2.0).argsort(1).argsort(1)
        tenth = (liked.sum(1, keepdim=True) / 10).round().long()
        validation, test = liked & (rank < tenth), liked & (rank >= tenth) & (rank < 2 * tenth)
        return Feedback(liked & ~validation & ~test, validation, test)


class MovieLens100k(FeedbackData):
    """Ratings of at least 4 by 943 users of 1682 films (Harper & Konstan 2015); ``ml-100k/u.data``."""

    def liked(self, data_dir: Path, generator: torch.Generator) -> Tensor:
        """See ``FeedbackData``.

        Raises:
            ValueError: if the file is missing or damaged.
        """
        file = data_dir / "ml-100k" / "u.data"
        if not file.is_file():
            raise ValueError(
                f"there is no {file}{misspelt(file, data_dir)}; unpack ml-100k.zip of GroupLens there, or "
                "set data_dir"
            )
        liked = []
        for number, line in enumerate(
            file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1
        ):
            try:
                user, item, rating = map(int, line.split()[:3])
                if not (1 <= user <= 943 and 1 <= item <= 1682):
                    raise ValueError
            except ValueError:
                raise ValueError(f"{file}: line {number} does not begin with user, item and rating") from None
            if rating >= 4:
                liked.append((user - 1, item - 1))
        found = torch.zeros(943, 1682, dtype=torch.bool)
        if liked:
            users, items = torch.tensor(liked).unbind(1)
            found[users, items] = True
        return found


class LatentTastes(FeedbackData):
    """Users who like the items that a hidden model of few factors ranks first, with noise and popularity.

    The score of an item is the product of two standard normal vectors over the root of their length, plus the
    item's popularity and Gumbel noise; a user likes the best ``20`` to ``liked``.

    Args:
        users: number of users.
        items: number of items.
        factors: number of factors of the hidden model.
        most: items that a user likes, at most; at least 20.
        noise: scale of the Gumbel noise.
        popularity: standard deviation.
    """

    def __init__(
        self,
        users: int = 900,
        items: int = 1600,
        factors: int = 8,
        most: int = 100,
        noise: float = 0.5,
        popularity: float = 0.7,
    ) -> None:
        check_whole(users=users, items=items, factors=factors, most=most)
        check_finite(noise=noise, popularity=popularity)
        if min(users, factors) < 1 or not 20 <= most <= items or min(noise, popularity) < 0:
            raise ValueError(
                "users and factors must be at least 1, most from 20 to items, noise and popularity at least 0"
            )
        self.users = users
        self.items = items
        self.factors = factors
        self.most = most
        self.noise = noise
        self.popularity = popularity

    def liked(self, data_dir: Path, generator: torch.Generator) -> Tensor:
        """See ``FeedbackData``.

        Raises:
            ValueError: if there is too little memory.
        """
        check_memory(
            f"{self.users:,} users of {self.items:,} items, with {self.factors:,} factors",
            24 * self.users * self.items + 8 * self.factors * (self.users + self.items),
        )

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        score = normal(self.users, self.factors) @ normal(self.factors, self.items) / self.factors**0.5
        score += self.popularity * normal(self.items)
        uniform = torch.rand(score.shape, generator=generator).clamp(1e-7, 1 - 1e-7)
        score -= self.noise * uniform.log().neg().log()
        count = torch.randint(20, self.most + 1, (self.users, 1), generator=generator)
        return score.argsort(1, descending=True).argsort(1) < count
