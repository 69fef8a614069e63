"""Power laws, as slopes on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import linregress


def log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the least-squares line through points on logarithmic axes.

    ``nan`` if a ``y`` is not positive: a power law has no such values.
    """
    if min(y) <= 0:
        return math.nan
    return float(linregress(np.log(x), np.log(y)).slope)
