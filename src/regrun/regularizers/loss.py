"""Another loss than the dataset's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.losses.base import ClassificationLoss
from regrun.regularizers.base import Regularizer, overrides


class Loss(Regularizer):
    """Replaces the loss by the mean of a classification loss over samples, or over the symbols of sequences.

    Args:
        function: function of logits, in float32 at least, and targets.
        from_step: before this step it is softmax cross-entropy.
    """

    splits = True

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
        logits, y = widened(step.output.logits), step.batch.y
        if logits.ndim > 2:
            logits, y = logits.flatten(0, -2), y.flatten(0, logits.ndim - 2)
        if step.number < self.from_step:
            return F.cross_entropy(logits, y)
        return self.function(logits, y).mean()


def loss_among(regularizers: Mapping[str, Regularizer]) -> Regularizer | None:
    """The one that replaces the loss, if any does.

    Raises:
        ValueError: if two do, or if another makes targets that the loss does not take.
    """
    names = [name for name, regularizer in regularizers.items() if overrides(regularizer, "loss")]
    if not names:
        return None
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)} both replace the loss; choose one of them")
    replacing = regularizers[names[0]]
    softening = [name for name, regularizer in regularizers.items() if regularizer.softens_labels]
    if isinstance(replacing, Loss) and not replacing.function.takes_probabilities and softening:
        raise ValueError(
            f"{names[0]} takes class indices, and {softening[0]} makes probabilities of them; leave one out"
        )
    return replacing
