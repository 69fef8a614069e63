"""Losses that trust labels less than cross-entropy does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.losses.base import ClassificationLoss, as_probabilities, expected


class GeneralizedCrossEntropy(ClassificationLoss):
    """``(1 - p_y^q) / q``: cross-entropy as q falls to 0, absolute error at 1.

    Zhang & Sabuncu, arXiv 1805.07836, eq. 6. Of a soft label, the mean over its classes.

    Args:
        q: in ``(0, 1]``.
    """

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        if not 0 < q <= 1:
            raise ValueError(f"q must lie in (0, 1], got {q}")
        self.q = q

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        return -expected(torch.expm1(self.q * logits.log_softmax(-1)), y) / self.q


class Bootstrap(ClassificationLoss):
    """Cross-entropy with a mixture of the label and the model's own prediction. Reed et al., arXiv 1412.6596.

    Args:
        share: weight of the label, beta, in ``[0, 1]``; the paper uses 0.95 for soft and 0.8 for hard
            predictions.
        hard: whether the prediction is the likeliest class, rather than all probabilities.
    """

    def __init__(self, share: float = 0.8, hard: bool = True) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        self.share = share
        self.hard = hard

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1)
        # The soft version is differentiated through the prediction, too: the paper's minimum-entropy term.
        own = F.one_hot(log_p.argmax(-1), log_p.shape[-1]).to(log_p) if self.hard else log_p.exp()
        mixed = self.share * as_probabilities(y, log_p) + (1 - self.share) * own
        return -(mixed * log_p).sum(-1)


class ForwardCorrection(ClassificationLoss):
    """``-log (T' p)_y``, with the probability ``T_ij`` that class i is labelled j.

    Patrini et al., arXiv 1609.03683, eq. 6. The transitions are those of symmetric noise, known beforehand.

    Args:
        rate: probability that a label is wrong, in ``[0, 1)``; uniform over the other classes. At 0 it is
            cross-entropy.

    Raises:
        ValueError: for logits of a single class.
    """

    def __init__(self, rate: float = 0.36) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must lie in [0, 1), got {rate}")
        self.rate = rate

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        classes = logits.shape[-1]
        if classes < 2:
            raise ValueError(f"symmetric label noise needs at least 2 classes, got {classes}")
        wrong = self.rate / (classes - 1)
        seen = (1 - self.rate - wrong) * logits.softmax(-1) + wrong
        # Hardly any noise leaves the logits' own logarithm, which does not underflow as their softmax does.
        least = torch.finfo(seen.dtype).tiny
        own = logits.log_softmax(-1) + torch.as_tensor(1 - self.rate, dtype=torch.float64).log()
        return -expected(torch.where(seen > least, seen.clamp_min(least).log(), own), y)
