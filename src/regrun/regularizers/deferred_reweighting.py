"""Cross-entropy that comes to weigh rare classes more."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer


class DeferredReweighting(Regularizer):
    """Replaces the loss by cross-entropy, with class weights from an epoch on.

    The weight of a class with ``n`` train samples is proportional to ``(1 - beta) / (1 - beta^n)``, the
    inverse of its effective number (Cui et al., arXiv 1901.05555); their mean is 1. Of probabilities for a
    label each class's share has its weight. Deferred as in Cao et al., arXiv 1906.07413. Computed in float32
    at least.

    Args:
        from_epoch: the first epoch with weights.
        beta: in ``[0, 1)``.
    """

    counts: Tensor  # train samples of each class

    def __init__(self, from_epoch: int = 160, beta: float = 0.9999) -> None:
        super().__init__()
        if from_epoch < 0 or not 0 <= beta < 1:
            raise ValueError(
                f"from_epoch must be at least 0 and beta lie in [0, 1), got {from_epoch} and {beta}"
            )
        self.from_epoch = from_epoch
        self.beta = beta

    def attach(self, task: Task) -> None:
        """Count the classes."""
        counts = torch.bincount(task.splits_on_device().train.y, minlength=task.classes).clamp_min(1)
        self.register_buffer("counts", counts, persistent=False)

    @property
    def weights(self) -> Tensor:
        """The weights of the classes, float32 ``(classes,)``."""
        return self.weights_in(torch.float32)

    def weights_in(self, dtype: torch.dtype) -> Tensor:
        """Computed in float64, and rounded to a format."""
        weights = (1 - self.beta) / (1 - self.beta ** self.counts.double())
        return (weights / weights.mean()).to(dtype)

    def loss(self, step: Step) -> Tensor:
        z, y = widened(step.output.logits), step.batch.y
        if y.is_floating_point():
            y = y.to(z)
        if step.epoch < self.from_epoch:
            return F.cross_entropy(z, y)
        # Weighted samples over their number, not over their weight: a batch of frequent classes counts less.
        return F.cross_entropy(z, y, self.weights_in(z.dtype), reduction="none").mean()
