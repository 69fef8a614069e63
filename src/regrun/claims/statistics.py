"""Confidence intervals over seeds, p-values, and sample sizes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from scipy.special import stdtrit  # Student's quantiles, without the overhead of scipy.stats

from regrun.claims.scaling import scaled

LEVEL = 0.95
FEWEST_FOR_BOOTSTRAP = 10
RESAMPLES = 9999
ROUNDING = 1e-13  # relative; smaller differences count as equal values
POWER = 0.8
MOST_SEEDS = 1000

Interval = Callable[[float], tuple[float, float]]


def mean_interval(values: Sequence[float]) -> Interval:
    """The confidence interval of a mean over seeds, as a function of its level.

    Student's t for fewer than ten values, otherwise the BCa bootstrap. The bootstrap's level is expanded for
    the sample size (Hesterberg, *What Teachers Should Know about the Bootstrap*, 2015); without this it
    covers too little, about 91 % instead of 95 % for ten normal values.

    Args:
        values: finite, one per seed. A single value gives an unbounded interval, equal values a point.
    """
    x, power = scaled(values)
    if power != 1:
        of_scaled = mean_interval(x.tolist())
        return lambda level: tuple(power * end for end in of_scaled(level))  # type: ignore[return-value]
    n = len(x)
    mean = float(x.mean())
    if n < 2:
        return lambda level: (-math.inf, math.inf)
    if np.ptp(x) == 0:
        return lambda level: (float(x[0]), float(x[0]))
    if n >= FEWEST_FOR_BOOTSTRAP and np.ptp(x) > ROUNDING * np.abs(x).max():
        return _bca_interval(x)
    error = float(x.std(ddof=1) / math.sqrt(n))

    def interval(level: float) -> tuple[float, float]:
        reach = float(stdtrit(n - 1, (1 + level) / 2)) * error
        return mean - reach, mean + reach

    return interval


def _bca_interval(x: np.ndarray) -> Interval:
    n = len(x)

    def bootstrap(level: float, **options: object) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scipy warns of few values, which the expansion corrects
            return stats.bootstrap(
                (x,), np.mean, method="BCa", confidence_level=level, vectorized=True, **options
            )

    drawn = bootstrap(LEVEL, n_resamples=RESAMPLES, rng=np.random.default_rng(0))
    most = 2 * stats.norm.cdf(_farthest_quantile(x, drawn.bootstrap_distribution)) - 1  # type: ignore[attr-defined]

    def interval(level: float) -> tuple[float, float]:
        quantile = stdtrit(n - 1, (1 + level) / 2) * math.sqrt(n / (n - 1))
        expanded = min(2 * stats.norm.cdf(quantile) - 1, most, 1 - 1e-12)
        ends = bootstrap(expanded, n_resamples=0, bootstrap_result=drawn).confidence_interval  # type: ignore[attr-defined]
        return float(ends.low), float(ends.high)

    return interval


def _farthest_quantile(x: np.ndarray, drawn: np.ndarray) -> float:
    """The largest normal quantile for which BCa's acceleration preserves the order of quantiles.

    BCa maps a normal quantile ``z`` to ``z0 + (z0 + z) / (1 - a (z0 + z))``, which has a pole where the
    divisor is 0.

    Args:
        x: the values.
        drawn: the means of the resamples.
    """
    deviations = x - x.mean()
    acceleration = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))  # of a mean
    below = ((drawn < x.mean()).mean() + (drawn <= x.mean()).mean()) / 2
    bias = abs(float(stats.norm.ppf(below)))
    return max(0.0, 0.99 / max(abs(acceleration), 1e-9) - bias)


def ratio_interval(values: Sequence[float]) -> Interval:
    """The interval of a geometric mean over seeds: the exponential of the interval on the log scale.

    Args:
        values: positive and finite, one per seed.
    """
    on_log_scale = mean_interval(np.log(values).tolist())

    def interval(level: float) -> tuple[float, float]:
        low, high = on_log_scale(level)
        with np.errstate(over="ignore"):  # overflow is infinite
            return float(np.exp(low)), float(np.exp(high))

    return interval


def method_name(n: int, ratio: bool = False) -> str:
    """The name of the interval's method for ``n`` seeds."""
    name = "t" if n < FEWEST_FOR_BOOTSTRAP else "BCa bootstrap"
    return f"{name}, log scale" if ratio else name


def smallest_alpha(decided: Callable[[float], bool]) -> float:
    """The smallest ``alpha`` at which a test decides: a two-sided p-value.

    Args:
        decided: whether the test decides at an ``alpha`` in (0, 1); monotone in ``alpha``.
    """
    low, high = 1e-12, 1.0 - 1e-9
    if decided(low):
        return 0.0
    if not decided(high):
        return 1.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if decided(middle) else (middle, high)
        if high / low < 1.001:
            break
    return high


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, which control the family-wise error rate.

    Holm, *A simple sequentially rejective multiple test procedure*, 1979.
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    running = 0.0
    for rank, k in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[k]))
        adjusted[k] = running
    return adjusted.tolist()


def seeds_needed(values: Sequence[float], bound: float, alpha: float = 1 - LEVEL) -> int | None:
    """The number of seeds to decide on which side of ``bound`` the mean lies, with a power of 80 %.

    Uses the t test with the observed mean and spread; ``None`` if a thousand seeds would not suffice.

    Args:
        values: finite, one per seed.
        bound: the margin of the claim.
        alpha: two-sided level.
    """
    x, power = scaled(values)
    if len(x) < 2:
        return None
    spread = float(x.std(ddof=1))
    distance = abs(float(x.mean()) - bound / power)
    if spread == 0:
        return 2 if distance else None
    n = np.arange(2, MOST_SEEDS + 1)
    with np.errstate(all="ignore"):
        power = stats.nct.sf(stats.t.ppf(1 - alpha / 2, n - 1), n - 1, distance / spread * np.sqrt(n))
    enough = np.flatnonzero(power >= POWER)
    return int(n[enough[0]]) if len(enough) else None
