"""Another loss than the dataset's."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.losses.base import ClassificationLoss
from regrun.regularizers.base import Regularizer, Step, Task


class Loss(Regularizer):
    """Replaces the loss by the mean of a classification loss over samples, or over the symbols of sequences.

    Args:
        function: of logits, in float32 at least, and targets.
    """

    def __init__(self, function: ClassificationLoss) -> None:
        super().__init__()
        self.function = function

    def attach(self, task: Task) -> None:
        """Try the loss on as many logits as there are classes.

        Raises:
            ValueError: if it does not go with so many.
        """
        self.function(torch.zeros(2, task.classes), torch.zeros(2, dtype=torch.int64))

    def loss(self, step: Step) -> Tensor:
        """See the class."""
        logits, y = step.output.logits, step.batch.y
        if logits.dtype != torch.float64:
            logits = logits.float()
        if logits.ndim > 2:
            logits, y = logits.flatten(0, -2), y.flatten(0, logits.ndim - 2)
        return self.function(logits, y).mean()
