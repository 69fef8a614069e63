"""*Hidden Dynamics of Massive Activations*: curves fitted to how far the largest activation stands out."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised

Array = NDArray[np.float64]
Curve = Callable[[Array, Array], Array]


def modulated_logarithm(p: Array, t: Array) -> Array:
    """``A exp(-l x) log x + K`` with ``x = g t + t_0``; ``p = (A, log l, log g, log(t_0 - 1), K)``."""
    x = np.exp(p[2]) * t + 1 + np.exp(p[3])
    return np.asarray(p[0] * np.exp(-np.exp(p[1]) * x) * np.log(x) + p[4])


def logarithm(p: Array, t: Array) -> Array:
    """``a + b log(t + 1)``."""
    return np.asarray(p[0] + p[1] * np.log(t + 1))


def logistic(p: Array, t: Array) -> Array:
    """``a + b / (1 + exp(-(log(t + 1) - c) / d))``, with ``d = exp p_3``."""
    return np.asarray(p[0] + p[1] / (1 + np.exp(np.clip(-(np.log(t + 1) - p[2]) / np.exp(p[3]), -60, 60))))


def saturation(p: Array, t: Array) -> Array:
    """``a + b (1 - exp(-t / c))``, with ``c = exp p_2``."""
    return np.asarray(p[0] + p[1] * (1 - np.exp(-t / np.exp(p[2]))))


# By name: the curve, and the ranges its starting points are drawn from, in units of the data's range.
CURVES: dict[str, tuple[Curve, tuple[tuple[float, float], ...]]] = {
    "eml": (modulated_logarithm, ((-2, 4), (-8, 1), (-9, 0), (-4, 2), (-1, 2))),
    "logarithm": (logarithm, ((0, 1), (0, 1))),
    "logistic": (logistic, ((0, 1), (0, 1), (0, 8), (-2, 1))),
    "saturation": (saturation, ((0, 1), (0, 1), (1, 8))),
}


def fit_curve(name: str, t: Array, y: Array, rng: np.random.Generator, starts: int) -> tuple[float, float]:
    """The least-squares fit of a curve from many starting points.

    Returns:
        Its R², and its AIC corrected for few points.
    """
    curve, ranges = CURVES[name]
    low, span = float(y.min()), float(np.ptp(y)) or 1.0
    z = (y - low) / span
    best = math.inf
    for _ in range(starts):
        start = np.array([rng.uniform(a, b) for a, b in ranges])
        with np.errstate(all="ignore"):
            try:
                found = least_squares(lambda p: curve(p, t) - z, start, max_nfev=400)
            except ValueError:  # a start at which the curve overflows
                continue
        best = min(best, float(2 * found.cost))
    n, k = len(t), len(ranges) + 1
    total = float(((z - z.mean()) ** 2).sum())
    aic = n * math.log(max(best, 1e-300) / n) + 2 * k + 2 * k * (k + 1) / max(1, n - k - 1)
    return 1 - best / total if total else math.nan, aic


class ActivationTrajectories(AfterTraining):
    """Trains a transformer; then fits curves to the top ratio of each block over the steps.

    The exponentially modulated logarithm of the paper and its rivals: ``eml_r2``, ``logarithm_r2``,
    ``logistic_r2`` and ``saturation_r2`` are medians over blocks, ``<curve>_r2_of/block=k`` those of a block,
    ``eml_wins`` the share of blocks at which its corrected AIC is the lowest. ``ratio_growth/block=k`` is the
    last ratio over the first. The curves are fitted to ``points`` evaluations whose logarithms are spaced
    evenly. Gallego-Feliciano et al., arXiv 2508.03616; the form of the curve is remembered, not looked up.

    Args:
        training: training procedure, with the probe ``massive_activations``.
        points: evaluations that are fitted.
        starts: starting points of each fit.
    """

    own = (
        *(f"{name}_r2" for name in CURVES),
        *(f"{name}_r2_of" for name in CURVES),
        "eml_wins",
        "ratio_growth",
    )

    def __init__(self, training: SupervisedTraining, points: int = 30, starts: int = 20) -> None:
        super().__init__(training)
        if points < 8 or starts < 1:
            raise ValueError(f"points must be at least 8 and starts at least 1, got {points} and {starts}")
        if not any("top_ratio" in probe.metrics for probe in training.probes.values()):
            raise ValueError("the curves are of the probe massive_activations: add it to probe")
        self.points = points
        self.starts = starts

    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        rng = np.random.default_rng(context.seed)
        row: dict[str, float] = {}
        blocks = sorted(name for name in stage.curves if name.startswith("top_ratio/block="))
        found: dict[str, list[float]] = {name: [] for name in CURVES}
        wins = 0
        for block in blocks:
            context.stop.check()
            number = block.partition("=")[2]
            steps = np.array(sorted(stage.curves[block]), dtype=float)
            values = np.array([stage.curves[block][int(step)] for step in steps])
            chosen = np.unique(
                np.abs(np.log1p(steps)[:, None] - np.linspace(0, np.log1p(steps[-1]), self.points)).argmin(0)
            )
            scores = {
                name: fit_curve(name, steps[chosen], values[chosen], rng, self.starts) for name in CURVES
            }
            for name, (r2, _) in scores.items():
                found[name].append(r2)
                row[f"{name}_r2_of/block={number}"] = r2
            wins += min(scores, key=lambda name: scores[name][1]) == "eml"
            row[f"ratio_growth/block={number}"] = float(values[-1] / values[0])
        row |= {f"{name}_r2": float(np.median(r2)) for name, r2 in found.items()}
        return row | {"eml_wins": wins / len(blocks)}
