"""Reduces the points of curves without a visible change, so figures stay small."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from regrun.claims.curves import Array
from regrun.reproduction.entry import Curve, Curves, Panel

UNSEEN = 2e-3  # of a panel's height: a fifth of a line's width
DIGITS = 4  # of a panel's height; one less for a value on a logarithmic axis


def thinned(curves: Curves, most: int) -> Curves:
    """Select the points that the drawn lines need, rounded to visible precision.

    Points are added greedily: the next is the one farthest from the lines drawn without it, over the means
    and band edges of all curves, as a fraction of the panel's height. It stops when no distance is visible or
    there are ``most`` points. The first two points and the last one of each curve are always kept.

    Args:
        curves: all points.
        most: maximum number of points over all curves.
    """
    frames = [Frame(panel, curves.log_x) for panel in curves.panels]
    polylines = {
        (k, arm): Polyline(*frames[k].places(curve))
        for k, panel in enumerate(curves.panels)
        for arm, curve in panel.arms.items()
        if curve.low
    }
    kept = sum(len(line.kept) for line in polylines.values())
    while kept < most and polylines:
        line = max(polylines.values(), key=lambda line: line.farthest)
        if line.farthest <= UNSEEN:
            break
        line.add()
        kept += 1
    panels = []
    for k, panel in enumerate(curves.panels):
        arms = {}
        for arm, curve in panel.arms.items():
            line_of = polylines.get((k, arm))
            chosen = line_of.kept if line_of else range(len(curve.mean))
            arms[arm] = Curve(
                steps=[curve.steps[i] for i in chosen] if line_of else curve.steps,
                **{
                    name: [frames[k].rounded(values[i]) for i in chosen] if values else []
                    for name, values in (("mean", curve.mean), ("low", curve.low), ("high", curve.high))
                },
            )
        panels.append(panel.model_copy(update={"arms": arms}))
    return curves.model_copy(update={"panels": panels})


class Frame:
    """Coordinates of points in a panel, as fractions of its width and height.

    Args:
        panel: the panel.
        log_x: whether the x axis is linear up to the first positive step and logarithmic beyond.
    """

    def __init__(self, panel: Panel, log_x: bool) -> None:
        values = np.array([v for c in panel.arms.values() for v in (*c.mean, *c.low, *c.high)])
        steps = np.array([step for c in panel.arms.values() for step in c.steps])
        self.log_y = panel.log_y
        above = values[np.isfinite(values) & (values > 0)]
        self.floor = max(above.min(), above.max() * 1e-10) if len(above) else 1.0
        self.first = steps[steps > 0].min() if log_x and (steps > 0).any() else None
        self.y_ends = finite_ends(self._y(values))
        self.x_ends = finite_ends(self._x(steps))
        self.decimals = DIGITS - math.ceil(math.log10(self.y_ends[1] - self.y_ends[0]))

    def places(self, curve: Curve) -> tuple[Array, Array]:
        """The points of a curve: ``x`` as ``(n,)``, and mean and band edges as ``(3, n)``."""
        x = (self._x(np.array(curve.steps)) - self.x_ends[0]) / (self.x_ends[1] - self.x_ends[0])
        y = self._y(np.array([curve.mean, curve.low, curve.high]))
        return x, (y - self.y_ends[0]) / (self.y_ends[1] - self.y_ends[0])

    def rounded(self, value: float) -> float:
        """A value rounded to the visible digits."""
        if not math.isfinite(value):
            return value
        return float(f"{value:.{DIGITS - 1}g}") if self.log_y else round(value, self.decimals) + 0.0  # no -0

    def _x(self, steps: Array) -> Array:
        if self.first is None:
            return steps
        near, far = 4 / 9 * steps / self.first, 4 / 9 + np.log10(np.maximum(steps, self.first) / self.first)
        return np.where(steps < self.first, near, far)

    def _y(self, values: Array) -> Array:
        return np.log10(np.maximum(values, self.floor)) if self.log_y else values


def finite_ends(values: Array) -> tuple[float, float]:
    """The smallest and largest finite value, made distinct."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


class Polyline:
    """Selected points of three lines over one axis; the farthest unselected point can be added.

    Args:
        x: ``(n,)``, ascending.
        y: ``(3, n)``; points at the borders of nan are selected from the start.
    """

    def __init__(self, x: Array, y: Array) -> None:
        self.x, self.y = x, y
        ends = np.flatnonzero(np.diff(np.isnan(y).any(0)))
        self.kept = sorted({0, min(1, len(x) - 1), len(x) - 1, *ends.tolist(), *(ends + 1).tolist()})
        self._gaps = [self._gap(a, b) for a, b in pairwise(self.kept)]

    @property
    def farthest(self) -> float:
        """The distance of the farthest unselected point from the lines; -1 if there is none."""
        return max((distance for distance, _ in self._gaps), default=-1.0)

    def add(self) -> None:
        """Select that point."""
        k = max(range(len(self._gaps)), key=lambda k: self._gaps[k][0])
        a, b, point = self.kept[k], self.kept[k + 1], self._gaps[k][1]
        self.kept.insert(k + 1, point)
        self._gaps[k : k + 1] = [self._gap(a, point), self._gap(point, b)]

    def _gap(self, a: int, b: int) -> tuple[float, int]:
        if b - a < 2 or np.isnan(self.y[:, a]).any():
            return -1.0, a
        share = (self.x[a + 1 : b] - self.x[a]) / (self.x[b] - self.x[a])
        line = self.y[:, a, None] * (1 - share) + self.y[:, b, None] * share
        distance = np.abs(self.y[:, a + 1 : b] - line).max(0)
        place = int(distance.argmax())
        return float(distance[place]), a + 1 + place
