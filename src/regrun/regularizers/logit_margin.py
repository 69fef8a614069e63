"""Penalties on logits that are further apart than a margin: MbLS and ACLS."""

from __future__ import annotations

from torch import Tensor

from regrun.contracts.task import Step
from regrun.regularizers.base import Regularizer
from regrun.regularizers.max_suppression import check_weight


class LogitMargin(Regularizer):
    """Adds ``weight * mean_k max(max_j z_j - z_k - margin, 0)``, the mean over samples (MbLS).

    Liu et al., *The Devil is in the Margin*, arXiv 2111.15430.

    Args:
        weight: weight of the penalty, at least 0.
        margin: margin without a penalty, at least 0.
    """

    splits = True

    def __init__(self, weight: float = 0.1, margin: float = 6.0) -> None:
        super().__init__()
        check_weight(weight)
        check_margin(margin)
        self.weight = weight
        self.margin = margin

    def penalty(self, step: Step) -> Tensor:
        z = step.output.logits
        return self.weight * (z.amax(-1, keepdim=True) - z - self.margin).clamp_min(0).mean()


class AdaptiveConditionalSmoothing(Regularizer):
    """Smooths logits where they are further apart than a margin, the more the further (ACLS).

    Adds ``weight`` times ``positive * max(z_max - margin, 0)^2``, averaged over samples, plus ``negative *
    max(z_max - z_j - margin, 0)^2``, averaged over samples and the other classes ``j``, with ``z_max`` held
    constant. The first term has the largest logit itself, as the authors' code has it; with ``gap`` it has
    the distance to the smallest, as the paper's formula. Of a single class the second term is 0. Park et al.,
    arXiv 2308.11911.

    Args:
        weight: weight of both terms, at least 0.
        positive: weight of the predicted class's term.
        negative: weight of the other classes' term.
        margin: margin without a penalty, at least 0.
        gap: whether the first term has the distance to the smallest logit.
    """

    splits = True

    def __init__(
        self,
        weight: float = 0.1,
        positive: float = 1.0,
        negative: float = 0.1,
        margin: float = 6.0,
        gap: bool = False,
    ) -> None:
        super().__init__()
        for value in (weight, positive, negative):
            check_weight(value)
        check_margin(margin)
        self.weight = weight
        self.positive = positive
        self.negative = negative
        self.margin = margin
        self.gap = gap

    def penalty(self, step: Step) -> Tensor:
        z = step.output.logits
        top, place = z.max(-1, keepdim=True)
        above = top - z.amin(-1, keepdim=True) if self.gap else top
        first = (above - self.margin).clamp_min(0).square().mean()
        below = (top.detach() - z - self.margin).clamp_min(0).square()
        others = below.scatter(-1, place, 0).sum() / max(1, z.numel() - place.numel())
        return self.weight * (self.positive * first + self.negative * others)


def check_margin(margin: float) -> None:
    """Raise ``ValueError`` unless it is at least 0."""
    if not margin >= 0:
        raise ValueError(f"margin must be at least 0, got {margin}")
