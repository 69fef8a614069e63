"""Evaluation of a trained network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.output import as_output
from regrun.contracts.samples import Samples
from regrun.data.stream import BatchList
from regrun.tasks.supervised import Supervised


@dataclass(frozen=True)
class Features:
    """Penultimate features of a split, with labels.

    Attributes:
        z: float64 ``(n, width)``.
        y: training labels, ``(n,)``.
        clean: labels before label noise.
    """

    z: Tensor
    y: Tensor
    clean: Tensor

    @property
    def wrong(self) -> Tensor:
        """Which labels are wrong, bool ``(n,)``."""
        return self.y != self.clean


@torch.no_grad()
def features_of(task: Supervised, samples: Samples) -> Features:
    """The penultimate features of every sample of a split, in evaluation mode.

    Raises:
        ValueError: if the model returns no features.
    """
    task.eval()
    rows = []
    for batch in BatchList(samples, task.evaluation_batch):
        output = as_output(task.model(task.inputs.prepare(batch.x)))
        if output.features is None:
            raise ValueError(f"{type(task.model).__name__} returns no features; choose another model")
        rows.append(output.features.double())
    return Features(torch.cat(rows), samples.y, samples.clean)


def accuracy(logits: Tensor, y: Tensor) -> float:
    """The accuracy of logits with respect to ``y``; ``nan`` if there are no rows."""
    return float((logits.argmax(1) == y).double().mean())
