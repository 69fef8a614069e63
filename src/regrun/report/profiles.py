"""Profiles: metrics whose parts are named by numbers, drawn over these numbers and over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from regrun.claims.curves import Array
from regrun.report.style import WIDTH
from regrun.reproduction.curves import drawable
from regrun.reproduction.reading import Reading

FEWEST_PLACES = 3  # for a line
FEWEST_ROWS, FEWEST_STEPS = 8, 4  # for a heat map
MOST_HEAT_MAPS = 12


@dataclass(frozen=True)
class Profile:
    """A profile of one arm.

    Attributes:
        places: ascending numbers, ``(places,)``.
        steps: steps at which all parts were measured, ``(steps,)``.
        values: values of all seeds, ``(seeds, steps, places)``.
    """

    places: Array
    steps: Array
    values: Array


@dataclass(frozen=True)
class Profiles:
    """A profile of all arms, with the meaning of its numbers.

    Attributes:
        axis: label of the numbers.
        arms: profiles by arm.
    """

    axis: str
    arms: Mapping[str, Profile]


def parse_part(part: str, axis: str) -> tuple[str, float] | None:
    """The meaning and the value of a part's number: ``0.25`` is an ``axis``, ``layer=2`` a layer.

    ``None`` if the part's name is not a number.
    """
    name, equals, value = part.rpartition("=")
    try:
        return (name if equals else axis), float(value)
    except ValueError:
        return None


def collect_profiles(reading: Reading, axis: str) -> dict[str, Profiles]:
    """Find every metric with a profile, over all complete runs.

    Args:
        reading: the runs.
        axis: meaning of bare numbers.
    """
    axes: dict[str, str] = {}
    found: dict[str, dict[str, list[dict[float, dict[float, float]]]]] = {}
    for run in reading.complete():
        rows: dict[str, dict[float, dict[float, float]]] = {}
        for name, (steps, values) in reading.curves(run.arm, run.seed).items():
            metric, _, part = name.partition("/")
            if (parsed := parse_part(part, axis)) is not None:
                axes[metric] = parsed[0]
                curve = dict(zip(steps.tolist(), values.tolist(), strict=True))
                rows.setdefault(metric, {})[parsed[1]] = curve
        for metric, curves in rows.items():
            found.setdefault(metric, {}).setdefault(run.arm, []).append(curves)
    result = {}
    for metric, arms in found.items():
        profiles = {arm: profile for arm, seeds in arms.items() if (profile := stack(seeds)) is not None}
        if profiles:
            result[metric] = Profiles(axes[metric], profiles)
    return result


def stack(seeds: Sequence[Mapping[float, Mapping[float, float]]]) -> Profile | None:
    """The places and steps common to all seeds; ``None`` if they are too few for a line."""
    places = sorted(set.intersection(*(set(seed) for seed in seeds)))
    if len(places) < FEWEST_PLACES:
        return None
    steps = sorted(set.intersection(*(set(seed[place]) for seed in seeds for place in places)))
    if not steps:
        return None
    values = [[[seed[place][step] for place in places] for step in steps] for seed in seeds]
    return Profile(np.array(places), np.array(steps), drawable(np.array(values)))


def profiles_figure(metrics: Mapping[str, Profiles], colors: Mapping[str, str]) -> Canvas:
    """Draw the final profile of every arm, a panel per metric."""
    columns = min(2, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    shown = [arm for arm in colors if any(arm in found.arms for found in metrics.values())]
    height = rows * 2.1 + 0.2 * math.ceil(len(shown) / 4) + 0.1
    canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False)
    for ax, (metric, found) in zip(grid.flat, metrics.items(), strict=False):
        for arm in shown:
            if arm not in found.arms:
                continue
            profile = found.arms[arm]
            last = profile.values[:, -1]
            ax.fill_between(
                profile.places, last.min(0), last.max(0), color=colors[arm], alpha=0.18, linewidth=0
            )
            ax.plot(profile.places, last.mean(0), color=colors[arm])
        ax.set_title(metric, loc="left")
        ax.set_xlabel(found.axis)
        scale_places(ax, np.concatenate([profile.places for profile in found.arms.values()]))
        scale_values(ax, np.concatenate([p.values[:, -1].ravel() for p in found.arms.values()]))
    for ax in grid.flat[len(metrics) :]:
        ax.set_visible(False)
    handles = [mpl.lines.Line2D([], [], color=colors[arm], label=arm) for arm in shown]
    canvas.legend(handles=handles, loc="outside upper center", ncols=4)
    return canvas


def scale_places(ax: Axes, places: Array) -> None:
    """Use a logarithmic x axis if the places span decades."""
    sizes = np.abs(places[places != 0])
    if len(sizes) and sizes.max() / sizes.min() > 100:
        if (places > 0).all():
            ax.set_xscale("log")
        else:
            ax.set_xscale("symlog", linthresh=sizes.min())


def scale_values(ax: Axes, values: Array) -> None:
    """Use a logarithmic y axis if positive values span decades."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() / finite.min() > 100:
        ax.set_yscale("log")


def evolution_figure(metrics: Mapping[str, Profiles], arms: Sequence[str]) -> Canvas | None:
    """Draw heat maps of profiles over time, a row per metric; ``None`` if no profile is long enough."""
    chosen = []
    for metric, found in metrics.items():
        shown = [
            arm
            for arm in arms
            if arm in found.arms
            and len(found.arms[arm].places) >= FEWEST_ROWS
            and len(found.arms[arm].steps) >= FEWEST_STEPS
        ]
        chosen += [(metric, found.axis, arm, found.arms[arm]) for arm in shown]
    chosen = chosen[:MOST_HEAT_MAPS]
    if not chosen:
        return None
    columns = min(3, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    canvas = Canvas(figsize=(WIDTH, rows * 2.1), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False)
    for ax, (metric, axis, arm, profile) in zip(grid.flat, chosen, strict=False):
        mean = profile.values.mean(0).T  # (places, steps)
        positive = mean[mean > 0]
        spans = len(positive) > 0 and positive.max() / positive.min() > 100
        low = max(positive.min(), positive.max() * 1e-5) if spans else None
        norm = mpl.colors.LogNorm(low, positive.max()) if spans else None
        drawn = np.where(mean > 0, mean, np.nan) if spans else mean
        edges = np.arange(len(profile.steps) + 1)
        ax.pcolormesh(edges, np.arange(len(mean) + 1), drawn, norm=norm, cmap="viridis", rasterized=True)
        mark(ax.xaxis, profile.steps)
        mark(ax.yaxis, profile.places)
        ax.set_title(f"{metric}, {arm}", loc="left")
        ax.set_ylabel(axis)
        ax.grid(visible=False)
    for ax in grid.flat[len(chosen) :]:
        ax.set_visible(False)
    return canvas


def mark(axis: mpl.axis.Axis, values: Array) -> None:
    """Label some rows or columns of a heat map."""
    some = np.unique(np.linspace(0, len(values) - 1, min(5, len(values))).round().astype(int))
    axis.set_ticks(some + 0.5, [f"{values[k]:.4g}" for k in some])
