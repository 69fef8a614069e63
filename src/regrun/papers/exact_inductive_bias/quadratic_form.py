"""*Towards Exact Computation of Inductive Bias*: probabilities far in the tail of a quadratic form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]


class QuadraticForm:
    """The distribution of ``sum_i s_i (z_i + d_i)^2`` with independent standard normal ``z_i``.

    Args:
        scales: ``s``, positive.
        shifts: ``d``.
    """

    def __init__(self, scales: Array, shifts: Array) -> None:
        self.scales = scales
        self.weights = scales * shifts**2  # b = s d^2
        self.shifts = shifts

    @property
    def mean(self) -> float:
        """The expectation."""
        return float((self.scales + self.weights).sum())

    def cumulants(self, t: float) -> tuple[float, float, float]:
        """The cumulant generating function and its first two derivatives at ``t < 1 / (2 max s)``."""
        s, b = self.scales, self.weights
        r = 1 / (1 - 2 * t * s)
        value = float((0.5 * np.log(r) + b * t * r).sum())
        slope = float((s * r + b * r**2).sum())
        curvature = float((2 * s**2 * r**2 + 4 * s * b * r**3).sum())
        return value, slope, curvature

    def log_below(self, level: float) -> float:
        """The natural logarithm of the probability of at most ``level``, for a level below the mean.

        By the saddlepoint formula of Lugannani & Rice (1980), with what is common to its terms taken out, so
        that it holds where the probability underflows.
        """
        if level >= self.mean:
            return 0.0
        low = -1.0
        while self.cumulants(low)[1] > level:
            low *= 4
        t = optimize.brentq(lambda x: self.cumulants(x)[1] - level, low, 0.0, xtol=1e-14, rtol=1e-12)
        value, _, curvature = self.cumulants(t)
        w = -math.sqrt(max(2 * (t * level - value), 0.0))
        u = t * math.sqrt(curvature)
        if w > -1e-4:
            return float(stats.norm.logcdf(0.0))
        mills = math.sqrt(math.pi / 2) * special.erfcx(-w / math.sqrt(2))
        return -(w**2) / 2 - math.log(2 * math.pi) / 2 + math.log(mills + 1 / w - 1 / u)

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draws, ``(count,)``."""
        parts = [
            ((rng.standard_normal((n, len(self.scales))) + self.shifts) ** 2) @ self.scales
            for n in [20_000] * (count // 20_000) + ([count % 20_000] if count % 20_000 else [])
        ]
        return np.concatenate(parts)


def posterior_error(x: Array, y: Array, x_test: Array, y_test: Array, jitter: float = 1e-4) -> QuadraticForm:
    """The test error of a Gaussian process conditioned on the train targets, with an RBF kernel of width 1.

    Args:
        x: train inputs, ``(n, d)``.
        y: train targets, ``(n,)``.
        x_test: test inputs, ``(m, d)``.
        y_test: test targets, ``(m,)``.
        jitter: added to the kernel's diagonal on the train inputs.
    """

    def kernel(a: Array, b: Array) -> Array:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.asarray(np.exp(-squares / 2))

    inner = np.linalg.cholesky(kernel(x, x) + jitter * np.eye(len(x)))
    cross = np.linalg.solve(inner, kernel(x, x_test))
    mean = cross.T @ np.linalg.solve(inner, y)
    values, vectors = np.linalg.eigh(kernel(x_test, x_test) - cross.T @ cross)
    values = np.maximum(values, 1e-12)
    scales = values / len(x_test)
    away = vectors.T @ (mean - y_test)
    return QuadraticForm(scales, away / np.sqrt(values))


def fitted_log_below(losses: Array, level: float) -> float:
    """The log-probability of at most ``level``, by a scaled non-central chi-square fitted to some losses.

    The fit is by maximum likelihood, its location 0, as in the official code; where the distribution function
    underflows, Sankaran's normal approximation.
    """
    scale = losses.var() / losses.mean() / 2
    df, nc, _, factor = stats.ncx2.fit(
        losses, max(losses.mean() / scale / 2, 1.0), losses.mean() / scale / 2, floc=0, scale=scale
    )
    found = float(stats.ncx2.logcdf(level, df, nc, scale=factor))
    return found if math.isfinite(found) else sankaran(level / factor, df, nc)


def sankaran(x: float, df: float, nc: float) -> float:
    """The log of the non-central chi-square's distribution function, approximately (Sankaran 1963)."""
    a, b = df + nc, df + 2 * nc
    h = 1 - 2 * a * (df + 3 * nc) / (3 * b**2)
    p = b / a**2
    m = (h - 1) * (1 - 3 * h)
    z = (x / a) ** h - (1 + h * p * (h - 1 - 0.5 * (2 - h) * m * p))
    return float(stats.norm.logcdf(z / (h * math.sqrt(2 * p) * (1 + 0.5 * m * p))))
