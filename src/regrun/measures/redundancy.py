"""How many of a layer's units say something of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.measures.share import unless_nan


def correlations(t: Tensor) -> Tensor:
    """Correlations between units over samples, ``(units, units)`` in float64; 0 for a constant unit.

    Args:
        t: activations, ``(n, units)``.
    """
    constant = t.amax(0) == t.amin(0)  # whose mean would differ from it by rounding
    z = (t.double() - t.double().mean(0)).masked_fill(constant, 0)
    scale = z.norm(dim=0)
    unit = z / scale.clamp_min(1e-300)
    return unit.T @ unit


def groups_of(related: Tensor) -> Tensor:
    """The group of each unit: units that are related, directly or through others, share one.

    Args:
        related: symmetric bool, ``(units, units)``.

    Returns:
        int64 ``(units,)``: the smallest index in the group.
    """
    label = torch.arange(len(related), device=related.device)
    while True:
        reach = torch.where(related, label, len(related)).amin(1)
        smaller = torch.minimum(label, reach)
        if bool((smaller == label).all()):
            return label
        label = smaller


def distinct_units(t: Tensor, threshold: float = 0.95) -> int:
    """How many groups of units there are whose absolute correlation exceeds ``threshold``."""
    related = correlations(t).abs() > threshold
    related.fill_diagonal_(fill_value=True)
    return len(groups_of(related).unique())


def sparsity_coefficient(t: Tensor, threshold: float = 0.95) -> Tensor:
    """The share of active (sample, unit) pairs, where correlated units count as one.

    Of a group the first unit stands for all. ``nan`` if an activation is. Andriushchenko et al., arXiv
    2210.05337; the threshold is remembered, not looked up.

    Args:
        t: activations, ``(n, units)``.
        threshold: threshold of the absolute correlation.
    """
    related = correlations(t).abs() > threshold
    related.fill_diagonal_(fill_value=True)
    first = groups_of(related).unique()
    return unless_nan((t[:, first] > 0).double().sum() / t.numel(), t)
