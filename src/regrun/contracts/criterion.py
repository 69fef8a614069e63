"""What targets mean: the loss that training minimizes and the scores that an evaluation reports."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output


class Criterion(ABC):
    """Compares a model's output with targets.

    Attributes:
        scores: the names of the values that ``score`` returns, ``loss`` among them.
        best: the score to maximize on a validation split; ``None`` to minimize ``loss``.
    """

    scores: tuple[str, ...] = ("loss",)
    best: str | None = None

    @abstractmethod
    def loss(self, output: Output, batch: Batch) -> Tensor:
        """The scalar that training minimizes unless a regularizer replaces it."""

    def check(self, y: Tensor, classes: int) -> None:  # noqa: B027  # nothing can be wrong with real numbers
        """Raise ``ValueError`` if targets are invalid, such as a class index out of range."""

    @abstractmethod
    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The scores of each sample, ``(batch,)`` in float64; an evaluation reports means over a split."""
