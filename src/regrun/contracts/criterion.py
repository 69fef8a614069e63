"""What the targets of a dataset mean: the loss that training minimizes, and the scores of an evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output


class Criterion(ABC):
    """Compares a model's output with targets.

    Attributes:
        scores: the names of what ``score`` gives, ``loss`` among them.
        best: the score by which a validation split chooses an evaluation, the largest being best; ``None``
            where it is the smallest ``loss``.
    """

    scores: tuple[str, ...] = ("loss",)
    best: str | None = None

    @abstractmethod
    def loss(self, output: Output, batch: Batch) -> Tensor:
        """The scalar that training minimizes unless a regularizer replaces it."""

    def check(self, y: Tensor, classes: int) -> None:  # noqa: B027  # nothing can be wrong with real numbers
        """Raise ``ValueError`` if a split's targets cannot be: a class that does not exist."""

    @abstractmethod
    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Of each sample, ``(batch,)``, in float64; an evaluation reports the means over a split."""
