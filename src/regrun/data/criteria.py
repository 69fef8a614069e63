"""Criteria: the loss that training minimizes, and the scores of an evaluation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.criterion import Criterion

if TYPE_CHECKING:
    from regrun.contracts.batch import Batch
    from regrun.contracts.output import Output


class Classification(Criterion):
    """Softmax cross-entropy and accuracy of class indices."""

    scores = ("loss", "accuracy")
    best = "accuracy"

    def check(self, y: Tensor, classes: int) -> None:
        check_classes(y, classes)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy in the precision of the logits."""
        return F.cross_entropy(output.logits, batch.y)

    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy in float64, and whether the largest logit is the target's."""
        losses = F.cross_entropy(output.logits.double(), batch.y, reduction="none")
        return {"loss": losses, "accuracy": is_right(output.logits, batch.y)}


class Regression(Criterion):
    """Mean squared error over all entries of a target."""

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """In the precision of the output."""
        return F.mse_loss(output.logits, batch.y)

    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """In float64."""
        return {"loss": (output.logits - batch.y).double().square().flatten(1).mean(1)}


class ObservedSeries(Criterion):
    """Gaussian likelihood of the observed values of a series.

    Targets are ``(batch, times, 2 channels)``: values, then 1 where a value is observed and 0 elsewhere.
    Predictions are ``(batch, times, channels)``. ``loss`` is the mean negative log-likelihood of an observed
    value, without the constant ``log(sigma sqrt(2 pi))``; ``mse`` is the mean squared error.

    Args:
        sigma: standard deviation of the observations.
    """

    scores = ("loss", "mse")

    def __init__(self, sigma: float) -> None:
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma must be above 0, got {sigma}")
        self.sigma = sigma

    def squares(self, output: Output, batch: Batch) -> Tensor:
        """The mean squared error of each sample over its observed values."""
        values, observed = batch.y.chunk(2, -1)
        error = ((output.logits - values) * observed).square().flatten(1).sum(1)
        return error / observed.flatten(1).sum(1).clamp(min=1)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """In the precision of the predictions; each sample counts the same."""
        return self.squares(output, batch).mean() / (2 * self.sigma**2)

    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """In float64."""
        squares = self.squares(output, batch).double()
        return {"loss": squares / (2 * self.sigma**2), "mse": squares}


class NextToken(Criterion):
    """Cross-entropy and accuracy of the next symbol, at every position.

    Targets are int64 ``(batch, time)``, logits ``(batch, time, classes)``; losses are in nats per symbol.
    """

    scores = ("loss", "accuracy")

    def check(self, y: Tensor, classes: int) -> None:
        check_classes(y, classes)

    def loss(self, output: Output, batch: Batch) -> Tensor:
        """The mean over all positions."""
        return F.cross_entropy(output.logits.flatten(0, 1), batch.y.flatten())

    def score(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The score of each sequence, in float64."""
        losses = F.cross_entropy(output.logits.double().mT, batch.y, reduction="none")
        return {
            "loss": losses.mean(1),
            "accuracy": is_right(output.logits, batch.y).mean(1),
        }


def is_right(logits: Tensor, y: Tensor) -> Tensor:
    """1 where the largest logit is the target's, else 0; ``nan`` where a logit is, which has no largest."""
    return (logits.argmax(-1) == y).double().masked_fill(logits.amax(-1).isnan(), math.nan)


def check_classes(y: Tensor, classes: int) -> None:
    """Raise ``ValueError`` unless class indices lie below ``classes``."""
    if y.numel() == 0:
        return
    low, high = (int(end) for end in y.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(
            f"there is no class {low if low < 0 else high} among {classes} classes, which are numbered from 0"
        )
