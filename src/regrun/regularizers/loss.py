"""Another loss than the dataset's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.losses.base import ClassificationLoss
from regrun.regularizers.base import Regularizer, Step, Task


class Loss(Regularizer):
    """Replaces the loss by the mean of a classification loss over samples, or over the symbols of sequences.

    Args:
        function: of logits, in float32 at least, and targets.
        from_step: before this step it is softmax cross-entropy.
    """

    def __init__(self, function: ClassificationLoss, from_step: int = 0) -> None:
        super().__init__()
        if from_step < 0:
            raise ValueError(f"from_step must be at least 0, got {from_step}")
        self.function = function
        self.from_step = from_step

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
        if step.number < self.from_step:
            return F.cross_entropy(logits, y)
        return self.function(logits, y).mean()
