"""Shares of entries that propagate ``nan``."""

from __future__ import annotations

import math

from torch import Tensor


def share(condition: Tensor, values: Tensor) -> Tensor:
    """The share of entries that fulfil a condition, in float64; ``nan`` if one of the values is ``nan``.

    Comparisons with ``nan`` are false, so that a diverged network would seem to have no saturated samples, no
    massive activations and no errors.

    Args:
        condition: bool, of any shape.
        values: the compared values, of any shape.
    """
    return unless_nan(condition.double().mean(), values)


def unless_nan(measured: Tensor, values: Tensor) -> Tensor:
    """A result of comparing or sorting values, or ``nan`` if one of the values is."""
    return measured.masked_fill(values.isnan().any(), math.nan)
