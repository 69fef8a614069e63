"""Activations that dwarf all others, and the positions that attention goes to."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.measures.share import unless_nan


def top_ratio(hidden: Tensor) -> Tensor:
    """The largest absolute activation over the median one, of each sequence, averaged over sequences.

    Sun et al., arXiv 2402.17762, call an activation massive from a ratio of 1000 and a size of 100 on.

    Args:
        hidden: states of the residual stream, ``(batch, time, width)``.
    """
    size = hidden.abs().flatten(1).double()
    return (size.amax(1) / size.median(1).values.clamp_min(1e-300)).mean()


def massive_count(hidden: Tensor, size: float = 100.0, ratio: float = 1000.0) -> Tensor:
    """How many activations of a sequence are massive, averaged over sequences; ``nan`` if one is."""
    a = hidden.abs().flatten(1).double()
    massive = (a > size) & (a > ratio * a.median(1, keepdim=True).values)
    return unless_nan(massive.sum(1).double().mean(), a)


def sink_share(attention: Tensor) -> Tensor:
    """The share of attention that goes to the first position, from all later ones, averaged over heads.

    Args:
        attention: weights, ``(batch, heads, to, from)``: each row sums to 1.
    """
    return attention[..., 1:, 0].double().mean()


def kurtosis(x: Tensor) -> Tensor:
    """The fourth central moment over the square of the variance, of all entries: 3 of normal ones.

    ``nan`` if all are the same.
    """
    centred = x.double() - x.double().mean()
    found = centred.pow(4).mean() / centred.square().mean().square()
    return found.masked_fill(x.amax() == x.amin(), torch.nan)  # of which rounding would make something
