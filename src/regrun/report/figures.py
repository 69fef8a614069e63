"""The figures of a report, sized for a paper, in colours readable on light and dark backgrounds."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from regrun.claims import Bounds, Verdict
from regrun.claims.scaling import middle
from regrun.claims.wording import estimate_text, figure
from regrun.config.arms import Arm
from regrun.report.profiles import collect_profiles, evolution_figure, profiles_figure
from regrun.report.style import INK, PALETTE, STYLE, VERDICT_COLORS, WIDTH
from regrun.reproduction.curves import CURVES_FIRST, Bands, Headline, collect, panels_of
from regrun.reproduction.entry import Comparison, Curves, Entry, Panel
from regrun.reproduction.reading import Reading

MOST_PANELS = 12
BAND = "Lines are means over seeds, bands reach from the least to the greatest seed."


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: file stem.
        title: its heading.
        caption: its caption.
        svg: SVG text; the ink colour is ``INK``.
        png: PNG bytes, on white.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def make_figures(
    entry: Entry, arms: Mapping[str, Arm], reading: Reading, metrics: Sequence[str], headline: Headline
) -> list[Figure]:
    """All figures of a report.

    Args:
        entry: the judged reproduction, with curves of the first figure.
        arms: the experiment's arms.
        reading: its runs.
        metrics: the metrics of the claims, which come first.
        headline: the content of the first figure.
    """
    bands = collect(reading)
    colors = arm_colors(arms)
    first = headline.metrics(bands)
    own = [name for name in metrics if name in bands and name not in CURVES_FIRST]
    rest = [name for name in bands if name not in (*CURVES_FIRST, *own) and "/" not in name]
    losses = [name for name in CURVES_FIRST[2:] if name in bands and name not in first]
    probes = [*own, *losses, *rest][:MOST_PANELS]
    figures = []
    with mpl.rc_context(STYLE):
        if entry.curves is not None:
            draw = draw_headline(entry.curves, colors)
            figures.append(save("curves", headline_title(entry.curves), headline_caption(entry.curves), draw))
        if any(claim.comparisons for claim in entry.claims):
            caption = (
                "Each claim on an axis of its own: the interval over seeds, its mean, each seed as a small "
                "mark, and in the shaded region what the claim wants."
            )
            figures.append(save("claims", "Claims", caption, forest_figure(entry)))
        finals = [name for name in dict.fromkeys([*metrics, *first]) if name in bands][:4]
        if finals:
            caption = (
                "The last value of each run: a dot for each seed, a bar at the mean where all are finite."
            )
            draw = arms_figure(finals, bands, colors, entry.diverged)
            figures.append(save("arms", "Arms compared", caption, draw))
        if probes:
            seen = Curves(x=headline.x, log_x=headline.log_x, panels=panels_of(probes, bands))
            draw = curves_figure(seen, colors, columns=3, height=1.75)
            figures.append(save("probes", "What the probes saw", BAND, draw))
        if profiles := collect_profiles(reading, headline.profile):
            draw = profiles_figure(dict(list(profiles.items())[:MOST_PANELS]), colors)
            figures.append(save("profiles", "Distributions and profiles, after training", BAND, draw))
        story = [arm for arm in colors if not headline.arms or arm in headline.arms]
        if (draw_over_time := evolution_figure(profiles, story)) is not None:
            caption = "Over the steps of training, from left to right: means over seeds."
            figures.append(save("evolution", "Distributions and profiles over time", caption, draw_over_time))
    return figures


def draw_headline(curves: Curves, colors: Mapping[str, str]) -> Canvas:
    """The first figure of a report, from the curves in an entry."""
    with mpl.rc_context(STYLE):
        return curves_figure(curves, colors, columns=2, height=2.6)


def headline_title(curves: Curves) -> str:
    """The heading of that figure."""
    return "Learning curves" if curves.x == "step" else f"Curves over {curves.x}"


def headline_caption(curves: Curves) -> str:
    """The caption of that figure."""
    shown = [curve for panel in curves.panels for curve in panel.arms.values()]
    lines, dots = any(curve.low for curve in shown), any(not curve.low for curve in shown)
    return " ".join([BAND] * lines + ["A dot is the one value of a seed."] * dots)


def arm_colors(arms: Mapping[str, Arm]) -> dict[str, str]:
    """A colour for each arm: shades of one colour for a family, a scale if it is the only family."""
    families = list(dict.fromkeys(arm.family for arm in arms.values() if arm.family is not None))
    hues = cycle(PALETTE)
    shades = {family: next(hues) for family in families} if len(families) > 1 else {}
    colors: dict[str, str] = {}
    for name, arm in arms.items():
        if arm.family is None:
            colors[name] = next(hues)
            continue
        members = [other.name for other in arms.values() if other.family == arm.family]
        place = 0.1 + 0.75 * members.index(name) / max(1, len(members) - 1)
        if arm.family in shades:
            colors[name] = shade(shades[arm.family], place)
        else:
            colors[name] = mpl.colors.to_hex(mpl.colormaps["viridis"](place))
    return colors


def shade(color: str, place: float) -> str:
    """A colour darkened (0) to lightened (1)."""
    target = np.zeros(3) if place < 0.5 else np.ones(3)
    weight = abs(place - 0.5)
    red, green, blue = np.array(mpl.colors.to_rgb(color)) * (1 - weight) + target * weight
    return mpl.colors.to_hex((red, green, blue))


def curves_figure(curves: Curves, colors: Mapping[str, str], columns: int, height: float) -> Canvas:
    """A panel of curves for each metric, with a shared legend.

    Args:
        curves: the panels.
        colors: colours of the arms, which are drawn in this order.
        columns: number of panels side by side.
        height: height of a panel, in inches.
    """
    panels = curves.panels
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    shown = [arm for arm in colors if any(arm in panel.arms for panel in panels)]
    legend_rows = math.ceil(len(shown) / 4)
    canvas = Canvas(figsize=(WIDTH, rows * height + 0.2 * legend_rows + 0.1), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False)
    for ax, panel in zip(grid.flat, panels, strict=False):
        draw_panel(ax, panel, colors, curves.log_x)
    for ax in grid.flat[len(panels) :]:
        ax.set_visible(False)
    for ax in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        ax.set_xlabel(curves.x)
    handles = [mpl.lines.Line2D([], [], color=colors[arm], label=arm) for arm in shown]
    canvas.legend(handles=handles, loc="outside upper center", ncols=4)
    return canvas


def draw_panel(ax: Axes, panel: Panel, colors: Mapping[str, str], log_x: bool) -> None:
    """Draw the mean and the range over seeds of each arm."""
    for arm, color in colors.items():
        if arm not in panel.arms:
            continue
        curve = panel.arms[arm]
        if not curve.low:  # a point for each seed
            ax.plot(curve.steps * len(curve.mean), curve.mean, ".", color=color)
            continue
        ax.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
        ax.plot(curve.steps, curve.mean, color=color)
    ax.set_title(panel.metric, loc="left")
    positive = [step for curve in panel.arms.values() for step in curve.steps if step > 0]
    if log_x and positive:
        ax.set_xscale("symlog", linthresh=min(positive), linscale=0.4)
        ax.set_xlim(left=0)
    if panel.log_y:
        values = np.array([v for c in panel.arms.values() for v in (*c.mean, *c.low, *c.high)])
        above = values[np.isfinite(values) & (values > 0)]
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(above.min(), above.max() * 1e-10))


def forest_figure(entry: Entry) -> Canvas:
    """Draw each comparison of each claim on its own axis."""
    rows = [(claim, c) for claim in entry.claims for c in claim.comparisons][:40]
    canvas = Canvas(figsize=(WIDTH, 0.42 * len(rows) + 0.3), layout="constrained")
    grid = canvas.subplots(len(rows), 1, squeeze=False)
    for (claim, measured), ax in zip(rows, grid.flat, strict=True):
        comparison = measured.to_scale()
        low, high = axis_range(comparison)
        color = VERDICT_COLORS[comparison.verdict]
        wanted = [max(comparison.ends[0], low), min(comparison.ends[1], high)]
        ax.axvspan(*wanted, color=VERDICT_COLORS[Verdict.REPRODUCED], alpha=0.12, linewidth=0)
        ends = [end for end in comparison.ends if math.isfinite(end)]
        for end in ends:
            ax.axvline(end, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        left, right = (min(max(end, low), high) for end in comparison.interval)
        ax.plot([left, right], [0, 0], color=color, linewidth=2.4, solid_capstyle="butt")
        if math.isfinite(comparison.middle):
            ax.plot([comparison.middle], [0], "o", color=color, markersize=4)
        seeds = [middle(*pair) for pair in comparison.values]
        ax.plot(seeds, [-0.55] * len(seeds), "|", color=INK, markersize=3.5, markeredgewidth=0.5)
        ax.set(xlim=(low, high), ylim=(-1, 1), yticks=[0])
        ax.set_yticklabels([claim.name])
        ax.set_xticks(ends, [figure(end) for end in measured.ends if math.isfinite(end)])
        ax.tick_params(axis="both", length=0, pad=1)
        ax.grid(visible=False)
        for side in ax.spines.values():
            side.set_visible(False)
        estimate = estimate_text(Bounds(*measured.estimate))
        a, b = measured.interval
        words = f"{estimate} [{figure(a)}, {figure(b)}]"
        ax.text(1.01, 0.5, words, transform=ax.transAxes, va="center", ha="left", fontsize=7.5)
    return canvas


def axis_range(comparison: Comparison) -> tuple[float, float]:
    """The limits of an axis: interval, seeds and margin, plus a border."""
    values = [*comparison.interval, *comparison.estimate, *comparison.ends]
    values += [end for pair in comparison.values for end in pair]
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite), max(finite)
    pad = 0.12 * (high - low) or abs(high) * 0.1 or 1.0
    return low - pad, high + pad


def arms_figure(
    metrics: Sequence[str],
    bands: Bands,
    colors: Mapping[str, str],
    diverged: Mapping[str, Sequence[int]],
) -> Canvas:
    """Draw the final value of every run, by arm; an arm's label counts its diverged runs."""
    shown = [arm for arm in colors if any(arm in bands[metric] for metric in metrics)]
    columns = min(2, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    canvas = Canvas(figsize=(WIDTH, rows * (0.17 * len(shown) + 0.55)), layout="constrained")
    grid = canvas.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, metric in zip(grid.flat, metrics, strict=False):
        for place, arm in enumerate(shown):
            if arm not in bands[metric]:
                continue
            last = bands[metric][arm][1][:, -1]
            ax.plot(last, [place] * len(last), "o", color=colors[arm], markersize=3.5, alpha=0.6, mew=0)
            mean = float(last.mean())
            ax.plot([mean, mean], [place - 0.3, place + 0.3], color=colors[arm], linewidth=1.6)
        ax.set_title(f"last {metric}", loc="left")
        ax.set_yticks(
            range(len(shown)),
            [f"{arm} ({len(diverged[arm])} diverged)" if arm in diverged else arm for arm in shown],
        )
        ax.set_ylim(len(shown) - 0.5, -0.5)
    for ax in grid.flat[len(metrics) :]:
        ax.set_visible(False)
    return canvas


def save(name: str, title: str, caption: str, canvas: Canvas) -> Figure:
    """A drawing as SVG text for the page and as PNG."""
    write: Callable[..., None] = canvas.savefig
    png = io.BytesIO()
    write(png, format="png", dpi=200, facecolor="white", metadata={"Software": None})
    return Figure(name, title, caption, svg_of(canvas), png.getvalue())


def svg_of(canvas: Canvas) -> str:
    """A drawing as SVG text."""
    write: Callable[..., None] = canvas.savefig
    svg = io.StringIO()
    with mpl.rc_context(STYLE):
        write(svg, format="svg", transparent=True, metadata={"Date": None})
    return svg.getvalue()
