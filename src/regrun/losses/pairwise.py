"""Losses of a positive item's score against those of sampled negatives."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.probability_maps.softmax import check_temperature

LARGEST = 80.0  # its exponential is well within float32's range
LOG_SURROGATES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda d: (d.tanh() + 1).clamp_min(1e-8).log(),
    "relu": lambda d: (d + 1).clamp_min(1e-8).log(),
    "arctan": lambda d: (d.atan() + 1).clamp_min(1e-8).log(),
    "exp": lambda d: torch.where(d.abs() > LARGEST, d, d.clamp(-LARGEST, LARGEST).exp().log()),
}


class PairwiseSoftmax:
    """``log mean_j s(d_j)^(1/T)`` of the differences ``d_j`` of negatives' scores from the positive's.

    With ``exp`` it is softmax loss; ``tanh + 1``, ``relu(d + 1)`` and ``arctan + 1`` lie between the
    indicator of ``d >= 0`` and ``exp`` where ``|d| <= 1``, and weigh a negative that scores far above less.
    Yang et al., *PSL*, arXiv 2411.00163.

    Args:
        surrogate: ``tanh``, ``relu``, ``arctan`` or ``exp``.
        temperature: ``T``.
    """

    def __init__(self, surrogate: str = "tanh", temperature: float = 0.1) -> None:
        if surrogate not in LOG_SURROGATES:
            raise ValueError(f"surrogate must be one of {', '.join(LOG_SURROGATES)}, got {surrogate!r}")
        check_temperature(temperature)
        self.surrogate = surrogate
        self.temperature = temperature

    def __call__(self, positive: Tensor, negatives: Tensor) -> Tensor:
        """The mean over positives.

        Args:
            positive: scores, ``(batch,)``, half a cosine.
            negatives: scores, ``(batch, negatives)``.
        """
        logs = LOG_SURROGATES[self.surrogate](negatives - positive[:, None]) / self.temperature
        return (logs.logsumexp(1) - math.log(logs.shape[1])).mean()


class BayesianRanking:
    """``-log sigmoid((positive - negative) / T)``, the mean over pairs (BPR). Rendle et al., arXiv 1205.2618.

    Args:
        temperature: ``T``.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        check_temperature(temperature)
        self.temperature = temperature

    def __call__(self, positive: Tensor, negatives: Tensor) -> Tensor:
        return F.softplus((negatives - positive[:, None]) / self.temperature).mean()
