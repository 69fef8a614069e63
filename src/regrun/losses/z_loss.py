"""The Z-loss, which neither shift nor scale of the logits change."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from regrun.losses.base import ClassificationLoss, expected


class ZLoss(ClassificationLoss):
    """``softplus(a (b - z_y)) / a`` of the standardized logit ``z_y = (o_y - mean(o)) / std(o)``.

    It depends on the logits by their sum, the sum of their squares and the target's alone. The logits have no
    probabilities. de Brébisson & Vincent, arXiv 1604.08859.

    Args:
        sharpness: ``a``.
        margin: ``b``; the largest that ``z_y`` can be is the square root of the number of classes less 1.
        eps: added to the variance. Where both are 0, the standardized logits are 0, with the gradient of a
            deviation of 1.
    """

    takes_probabilities = False

    def __init__(self, sharpness: float = 0.3, margin: float = 10.0, eps: float = 1e-12) -> None:
        super().__init__()
        if not (0 < sharpness < math.inf and math.isfinite(margin) and 0 <= eps < math.inf):
            raise ValueError(
                "sharpness must be above 0, eps at least 0, and both as margin finite, "
                f"got {sharpness}, {eps} and {margin}"
            )
        self.sharpness = sharpness
        self.margin = margin
        self.eps = eps
        self.probability_map = None

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        away = logits - logits.mean(-1, keepdim=True)
        variance = away.square().mean(-1) + self.eps
        spread = variance.masked_fill(variance == 0, 1).sqrt()
        return z_loss(expected(away, y) / spread, self.sharpness, self.margin)


def z_loss(standardized: Tensor, sharpness: float, margin: float) -> Tensor:
    """The loss of targets' standardized logits."""
    return F.softplus(sharpness * (margin - standardized)) / sharpness
