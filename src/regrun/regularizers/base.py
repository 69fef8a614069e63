"""The contract of a regularizer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.batch import Batch
from regrun.contracts.task import Step, Task


class Regularizer(nn.Module):
    """Shapes training at the moments it overrides, and costs nothing at the others.

    A regularizer is held by the task as a submodule: its buffers move with the device and travel in the
    checkpoint. Where several regularizers share a moment, they act in the order of the command line.

    A penalty is computed in the format of the logits or weights that it is of, and a loss that replaces
    another in float32 at least. A penalty for which half precision has too few digits is computed in float32,
    and comes in the format of the loss (``as_loss``). A memory has the weights' format.

    Attributes:
        softens_labels: whether ``transform`` makes probabilities of class indices.
        splits: whether it does the same where the weights are split over processes (``trainer=fsdp``).
        couples: whether it lets the samples of a batch act on each other. Where processes share a batch, they
            do so within each process's share, and the record says so.
    """

    softens_labels = False
    splits = False
    couples = False

    def attach(self, task: Task) -> None:
        """Once, before training: reparametrize weights, wrap layers, allocate a memory."""

    def transform(self, batch: Batch) -> Batch:
        """Before the forward pass: replace inputs or targets."""
        return batch

    def loss(self, step: Step) -> Tensor:
        """Replace the training loss by this scalar. At most one regularizer of a run may."""
        raise NotImplementedError

    def penalty(self, step: Step) -> Tensor:
        """Add this scalar to the training loss."""
        raise NotImplementedError

    def edit_gradients(self, task: Task) -> None:
        """After backward, before the optimizer: change ``.grad`` (or the weights) in place."""

    def project(self, task: Task) -> None:
        """After the optimizer: change the weights in place."""


def as_loss(value: Tensor, logits: Tensor) -> Tensor:
    """A penalty that was computed in more digits than the logits have, in the format of the logits' loss.

    That is the logits' own, except under autocast, which computes losses in float32.
    """
    return value if torch.is_autocast_enabled(logits.device.type) else value.to(logits.dtype)


def overrides(regularizer: Regularizer, moment: str) -> bool:
    """Whether a regularizer acts at a moment, by whether its class overrides that method."""
    return getattr(type(regularizer), moment) is not getattr(Regularizer, moment)
