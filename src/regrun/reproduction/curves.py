"""The curves of a reproduction: all seeds, and the points of the first figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from regrun.claims.curves import Array
from regrun.reproduction.entry import Curve, Curves, Panel
from regrun.reproduction.reading import Reading
from regrun.reproduction.thinning import thinned

LARGEST_DRAWN = 1e150  # an axis cannot be computed for larger values
CURVES_FIRST = ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
MOST_POINTS = 300  # of a figure, over all its curves

Bands = Mapping[str, Mapping[str, tuple[Array, Array]]]
"""By metric and arm: steps ``(n,)`` and the values of all seeds ``(seeds, n)``."""


@dataclass(frozen=True)
class Headline:
    """What the first figure shows.

    Attributes:
        curves: metrics, one panel each; empty for the accuracies.
        arms: arms to draw; empty for all.
        x: the quantity on the x axis.
        log_x: whether the x axis is logarithmic.
        profile: the variable that numbers the parts of a metric, if part names are bare numbers such as
            ``step_size/0.25``; other part names include it, ``hessian_density/eigenvalue=0.5``.
    """

    curves: Sequence[str] = ()
    arms: Sequence[str] = ()
    x: str = "step"
    log_x: bool = False
    profile: str = "position"

    def metrics(self, bands: Bands) -> list[str]:
        """The metrics of the panels: the chosen ones, else accuracies or losses, else any two."""
        chosen = [name for name in self.curves if name in bands]
        return chosen or [name for name in CURVES_FIRST if name in bands][:2] or list(bands)[:2]


def collect(reading: Reading) -> Bands:
    """The curves of all complete runs, by metric and arm, at the steps common to all seeds."""
    runs: dict[str, list[Mapping[str, tuple[Array, Array]]]] = {}
    for run in reading.complete():
        runs.setdefault(run.arm, []).append(reading.curves(run.arm, run.seed))
    bands: dict[str, dict[str, tuple[Array, Array]]] = {}
    for arm, seeds in runs.items():
        for metric in seeds[0]:
            curves = [curves[metric] for curves in seeds if metric in curves]
            if "/" in metric or not curves:
                continue
            ends, steps = curves, curves[0][0]
            if any(len(other) != len(steps) or (other != steps).any() for other, _ in curves):
                for other, _ in curves:
                    steps = np.intersect1d(steps, other)
                curves = [(steps, values[np.isin(other, steps)]) for other, values in curves]
            if not len(steps):  # each seed ended at a different step
                steps = np.array([max(int(other[-1]) for other, _ in ends)])
                curves = [(steps, values[-1:]) for _, values in ends]
            bands.setdefault(metric, {})[arm] = (steps, drawable(np.stack([v for _, v in curves])))
    return bands


def drawable(values: Array) -> Array:
    """Values with nan in place of values that are not finite or too large for an axis."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < LARGEST_DRAWN, values, np.nan)


def headline_curves(bands: Bands, headline: Headline) -> Curves | None:
    """The curves of the first figure, thinned to ``MOST_POINTS`` in total; ``None`` if there are none."""
    panels = panels_of(headline.metrics(bands), bands, headline.arms)
    if not any(panel.arms for panel in panels):
        return None
    return thinned(Curves(x=headline.x, log_x=headline.log_x, panels=panels), MOST_POINTS)


def panels_of(metrics: Sequence[str], bands: Bands, arms: Sequence[str] = ()) -> list[Panel]:
    """A panel for each metric, without curves that are all nan.

    Args:
        metrics: the metrics to draw.
        bands: values of all seeds.
        arms: arms to draw; empty for all.
    """
    panels = []
    for metric in metrics:
        shown = {
            arm: (steps, values)
            for arm, (steps, values) in bands[metric].items()
            if (not arms or arm in arms) and not np.isnan(values).all()
        }
        everything = [values.ravel() for _, values in shown.values()]
        log_y = bool(shown) and spans_decades(metric, np.concatenate(everything))
        panels.append(
            Panel(metric=metric, log_y=log_y, arms={arm: curve_of(*band) for arm, band in shown.items()})
        )
    return panels


def curve_of(steps: Array, values: Array) -> Curve:
    """Mean and range over seeds.

    Args:
        steps: ``(n,)``.
        values: values of all seeds, ``(seeds, n)``.
    """
    if len(steps) == 1:
        return Curve(steps=steps.tolist(), mean=values[:, 0].tolist(), low=[], high=[])
    ends = {"low": values.min(0).tolist(), "high": values.max(0).tolist()}
    return Curve(steps=steps.tolist(), mean=values.mean(0).tolist(), **ends)


def spans_decades(metric: str, values: Array) -> bool:
    """Whether a metric needs a logarithmic axis: no negative values, spanning decades."""
    above = values[np.isfinite(values) & (values > 0)]
    if not len(above) or (values < 0).any():
        return False
    is_share = above.max() <= 1 and not metric.endswith("loss")
    return bool(above.max() / np.quantile(above, 0.02) > 100 and not is_share)
