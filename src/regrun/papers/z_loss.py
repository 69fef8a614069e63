"""*The Z-loss*: a loss whose cost does not depend on the number of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.losses.z_loss import ZLoss, z_loss
from regrun.measures.timing import in_turns


def factored_z_loss(
    h: Tensor, head: Tensor, y: Tensor, mean_row: Tensor, gram: Tensor, sharpness: float, margin: float
) -> Tensor:
    """The Z-loss of logits ``h W^T`` without the logits, at a cost of ``width^2`` for each sample.

    The mean of the logits is ``h . mean_row``, that of their squares ``h^T gram h``.

    Args:
        h: features, ``(batch, width)``.
        head: ``W``, ``(classes, width)``.
        y: class indices, ``(batch,)``.
        mean_row: mean row of ``W``, ``(width,)``.
        gram: ``W^T W / classes``, ``(width, width)``.
        sharpness: ``a``.
        margin: ``b``.
    """
    mean = h @ mean_row
    spread = ((h @ gram * h).sum(1) - mean.square()).clamp_min(1e-12).sqrt()
    return z_loss(((h * head[y]).sum(1) - mean) / spread, sharpness, margin)


@dataclass(frozen=True, eq=False)
class LossTimes:
    """Times the Z-loss of a large output layer with the logits and without them.

    ``dense_time/classes=D`` and ``factored_time/classes=D`` are milliseconds, the medians over rounds in
    which the numbers of classes take turns; ``value_error`` is the largest relative difference of values.
    Building the factors is not timed: the paper keeps them up to date at a cost of ``width^2`` for each
    sample.

    Args:
        classes: numbers of classes, ascending.
        width: width of the features.
        batch: samples.
        rounds: number of timing rounds.
    """

    metrics = ("dense_time", "factored_time", "value_error")

    classes: Sequence[int] = (500, 5000, 50000)
    width: int = 128
    batch: int = 128
    rounds: int = 51

    def __post_init__(self) -> None:
        if (
            list(self.classes) != sorted({*self.classes})
            or min(self.width, self.batch, self.rounds, *self.classes) < 1
        ):
            raise ValueError("classes must ascend, and classes, width, batch and rounds be at least 1")

    @torch.no_grad()
    def __call__(self, context: Context) -> dict[str, float]:
        """Time."""
        generator = torch.Generator().manual_seed(context.seed)
        context.begin(Description(steps=1))
        row: dict[str, float] = {}
        loss, error = ZLoss(), 0.0
        dense: list[partial[Tensor]] = []
        factored: list[partial[Tensor]] = []
        for count in self.classes:
            head = torch.randn(count, self.width, generator=generator)
            h = torch.randn(self.batch, self.width, generator=generator)
            y = torch.randint(count, (self.batch,), generator=generator)
            mean_row, gram = head.mean(0), head.T @ head / count
            dense.append(partial(dense_z_loss, loss, h, head, y))
            factored.append(partial(factored_z_loss, h, head, y, mean_row, gram, loss.sharpness, loss.margin))
            expected = dense[-1]()
            error = max(error, float(((factored[-1]() - expected) / expected).abs().amax()))
        for calls, name in (factored, "factored_time"), (dense, "dense_time"):
            # Each kind apart: the logits of 50,000 classes would leave a cold cache to what follows them.
            context.stop.check()
            in_turns(calls, 1)  # to warm up
            for count, found in zip(self.classes, in_turns(calls, self.rounds), strict=True):
                row[f"{name}/classes={count}"] = 1e3 * found
        row["value_error"] = error
        context.log(1, row)
        return row


def dense_z_loss(loss: ZLoss, h: Tensor, head: Tensor, y: Tensor) -> Tensor:
    """The same, by way of the logits."""
    found: Tensor = loss(h @ head.T, y)
    return found
