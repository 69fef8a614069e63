"""StableMax, a softmax whose exponential grows only linearly."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap, log_or_nothing, log_weigh, weigh


def stable_growth(x: Tensor) -> Tensor:
    r"""StableMax's stand-in for the exponential, elementwise.

    ``s(x) = x + 1`` for ``x >= 0`` and ``1 / (1 - x)`` below: positive, increasing, continuously
    differentiable, with ``s(0) = s'(0) = 1`` as for ``exp``, and ``s(-x) = 1 / s(x)``.
    """
    # The clamp keeps the branch that is not taken finite, so that its zero gradient stays zero.
    return torch.where(x < 0, (1 - x.clamp(max=0)).reciprocal(), x + 1)


def stablemax(x: Tensor, dim: int = -1) -> Tensor:
    """``s(x_i) / sum_j s(x_j)`` along ``dim``; see ``stable_growth``.

    Not invariant to shifts of its input, unlike softmax. Prieto et al., *Grokking at the Edge of
    Numerical Stability*, arXiv 2501.04697.

    Shape:
        any, kept.
    """
    return weigh(shares, x, dim)


def log_stablemax(x: Tensor, dim: int = -1) -> Tensor:
    """``log(stablemax(x, dim))``, accurate where the probability is near one or underflows.

    Shape:
        any, kept.
    """
    return log_weigh(log_shares, x, dim)


def shares(x: Tensor, dim: int) -> Tensor:
    """``stablemax`` for rows that are not fully masked."""
    s = stable_growth(x)
    return s / s.sum(dim, keepdim=True)


def log_shares(x: Tensor, dim: int) -> Tensor:
    """``log_stablemax`` for rows that are not fully masked."""
    s = stable_growth(x)
    return log_or_nothing(s) - s.sum(dim, keepdim=True).log()


class StableMax(ProbabilityMap):
    """``stablemax`` as a map."""

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        return shares(scores, dim)

    def log_weights(self, scores: Tensor, dim: int) -> Tensor:
        return log_shares(scores, dim)
