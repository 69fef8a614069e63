"""Early-learning regularization."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.output import as_output
from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer, as_loss
from regrun.regularizers.ranks import gather_rows


class EarlyLearning(Regularizer):
    """Adds ``weight * mean_i log(1 - <p_i, t_i>)``, which keeps to what was learned early.

    ``p`` are the softmax probabilities, clamped to ``[floor, 1 - floor]``, and ``t_i`` the running average of
    sample ``i``'s own: ``t <- momentum * t + (1 - momentum) * p / sum(p)``, updated before it is used and
    never differentiated. Liu et al., arXiv 2007.00151, eq. 6 and 9.

    Of a mixed batch the average follows the samples before mixing, and the target is mixed as they are, as in
    ELR+. Computed in float32 at least.

    Args:
        weight: lambda; grows with the noise and with the number of classes.
        momentum: beta, in ``[0, 1)``.
        floor: bound of the clamp, in ``(0, 0.5)``.
    """

    splits = True
    targets: Tensor

    def __init__(self, weight: float = 3.0, momentum: float = 0.7, floor: float = 1e-4) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {momentum}")
        if not 0 < floor < 0.5:
            raise ValueError(f"floor must lie in (0, 0.5), got {floor}")
        if not math.isfinite(weight):
            raise ValueError(f"weight must be finite, got {weight}")
        self.weight = weight
        self.momentum = momentum
        self.floor = floor

    def attach(self, task: Task) -> None:
        """A memory of one distribution per train sample, zero at first, in float32 at least."""
        like = widened(next(task.model.parameters()))
        self.register_buffer("targets", like.new_zeros(task.train_samples, task.classes))

    def penalty(self, step: Step) -> Tensor:
        p = self.probabilities(step.output.logits)
        mixture = step.batch.mixture
        if mixture is None:
            self.remember(step.batch.index, p.detach())
            target = self.targets[step.batch.index]
        else:
            with torch.no_grad():
                unmixed = as_output(step.task.model(mixture.x)).logits
            self.remember(step.batch.index, self.probabilities(unmixed))
            own = self.targets[step.batch.index]
            share = mixture.share[:, None]
            target = share * own + (1 - share) * own[mixture.partner]
        agreement = (p * target).sum(1)
        # A floor that the format rounds away does not keep it below 1.
        agreement = agreement.clamp_max(1 - torch.finfo(agreement.dtype).eps)
        return as_loss(self.weight * torch.log1p(-agreement).mean(), step.output.logits)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Clamped softmax of the logits, in float32 at least: ``(batch, classes)``."""
        return widened(logits).softmax(1).clamp(self.floor, 1 - self.floor)

    def remember(self, index: Tensor, p: Tensor) -> None:
        """Move the averages of these samples towards their probabilities, on every rank."""
        index, p = gather_rows(index, p / p.sum(1, keepdim=True))
        self.targets[index] = self.momentum * self.targets[index] + (1 - self.momentum) * p.to(
            self.targets.dtype
        )
