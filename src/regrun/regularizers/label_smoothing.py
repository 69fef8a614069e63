"""Label smoothing, to the end or for a while."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_probabilities


class LabelSmoothing(Regularizer):
    """Mixes each label with the uniform distribution. Szegedy et al., arXiv 1512.00567.

    With ``until`` labels are as they are from that step on: TSLA, Xu et al., arXiv 2006.11653.

    Args:
        share: weight of the uniform distribution, in ``[0, 1)``.
        until: number of steps with smoothing, ``None`` for all.
    """

    done: Tensor

    softens_labels = True
    splits = True

    def __init__(self, share: float = 0.1, until: int | None = None) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ValueError(f"share must lie in [0, 1), got {share}")
        if until is not None and until < 0:
            raise ValueError(f"until must be at least 0, or null, got {until}")
        self.share = share
        self.until = until
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def attach(self, task: Task) -> None:
        """Note the number of classes."""
        self.classes = task.classes

    def transform(self, batch: Batch) -> Batch:
        if self.until is not None:
            self.done += 1
            if int(self.done) > self.until:
                return batch
        y: Tensor = as_probabilities(batch.y, self.classes, batch.x)
        return batch._replace(y=(1 - self.share) * y + self.share / self.classes)
