"""StableMax cross-entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.probability_maps.stablemax import stable_growth
from regrun.regularizers.base import Regularizer, Step


class StableMax(Regularizer):
    """Replaces the loss by cross-entropy of StableMax, computed in float64.

    Prieto et al., *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697: with it networks grok
    without any other regularization, because no term of its sum is ever absorbed.
    """

    def loss(self, step: Step) -> Tensor:
        """See the class."""
        return stablemax_cross_entropy(step.output.logits, step.batch.y)


def stablemax_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """``-mean log stablemax(logits)[y]``, a float64 scalar.

    Args:
        logits: ``(batch, classes)``.
        y: class indices, ``(batch,)``, or probabilities, ``(batch, classes)``.
    """
    # Only one log per row is needed, so this beats gathering from log_stablemax.
    s = stable_growth(logits.to(torch.float64))
    if y.is_floating_point():
        return (s.sum(-1).log() - (y * s.log()).sum(-1)).mean()
    return (s.sum(-1).log() - s.gather(1, y[:, None]).squeeze(1).log()).mean()
