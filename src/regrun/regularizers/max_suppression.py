"""Max suppression: label smoothing's effect on the logits of right and wrong predictions, separated."""

from __future__ import annotations

import math

from torch import Tensor

from regrun.contracts.task import Step
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_indices


class MaxSuppression(Regularizer):
    """Adds ``weight * mean (max_k z_k - mean_k z_k)`` (MaxSup).

    Label smoothing by ``weight`` is cross-entropy plus ``weight * (z_y - mean_k z_k)``; here the largest
    logit takes the place of the label's, so that a wrong prediction is held back, too, instead of widening.
    Zhou et al., arXiv 2502.15798.

    Args:
        weight: alpha, at least 0.
    """

    splits = True

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        check_weight(weight)
        self.weight = weight

    def penalty(self, step: Step) -> Tensor:
        z = step.output.logits
        return self.weight * (z.amax(-1) - z.mean(-1)).mean()


class SmoothingGaps(Regularizer):
    """Adds the part of label smoothing that regularizes: ``weight / K * sum_m max(z_y - z_m, 0)``, its mean.

    What is left out, the same sum over the logits above the label's, rewards wrong predictions for being
    sure. An ablation of *MaxSup*, arXiv 2502.15798.

    Args:
        weight: alpha, at least 0.
    """

    splits = True

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        check_weight(weight)
        self.weight = weight

    def penalty(self, step: Step) -> Tensor:
        z = step.output.logits
        own = z.gather(-1, as_indices(step.batch.y).unsqueeze(-1))
        return self.weight * (own - z).clamp_min(0).mean(-1).mean()


def smoothing_error(z: Tensor, y: Tensor) -> Tensor:
    """The other part, ``sum_m max(z_m - z_y, 0) / K`` of each sample: 0 where the prediction is right."""
    return (z - z.gather(-1, y.unsqueeze(-1))).clamp_min(0).mean(-1)


def check_weight(weight: float) -> None:
    """Raise ``ValueError`` unless it is at least 0."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"the weight of a penalty must be at least 0, got {weight}")
