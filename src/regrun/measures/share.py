"""Shares of entries, of which none hides that something is not a number."""

from __future__ import annotations

import math

from torch import Tensor


def share(condition: Tensor, values: Tensor) -> Tensor:
    """The share of entries that fulfil a condition, in float64; ``nan`` if one of the values is ``nan``.

    Comparisons with ``nan`` are false, so that a diverged network would seem to have no saturated samples, no
    massive activations and no errors.

    Args:
        condition: bool, of any shape.
        values: what it was asked of, of any shape.
    """
    return unless_nan(condition.double().mean(), values)


def unless_nan(measured: Tensor, values: Tensor) -> Tensor:
    """What was measured of values by comparing or sorting them; ``nan`` if one of them is."""
    return measured.masked_fill(values.isnan().any(), math.nan)
