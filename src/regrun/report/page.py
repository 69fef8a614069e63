"""The report of an experiment: a single, self-contained HTML file."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from regrun.claims import Bounds, Verdict
from regrun.claims.scaling import arithmetic_mean, middle
from regrun.claims.wording import estimate_text, figure
from regrun.errors import UserError
from regrun.plural import count, seeds
from regrun.records.files import write_atomically
from regrun.report.figures import Figure, axis_range, make_figures
from regrun.report.style import INK, VERDICT_COLORS
from regrun.report.terminal import p_text
from regrun.reproduction.curves import Headline
from regrun.reproduction.entry import Comparison, Entry
from regrun.reproduction.experiment import Experiment
from regrun.reproduction.ledger import entry_name
from regrun.reproduction.progress import duration
from regrun.reproduction.reading import Reading

OWN_TITLE = re.compile(r"<title>(regrun: |[^<]* · regrun<)")


@dataclass(frozen=True)
class Report:
    """The files that were written.

    Attributes:
        page: the HTML file.
        pictures: PNG file of each figure by name; its SVG lies beside it.
    """

    page: Path
    pictures: dict[str, Path]


def write_report(experiment: Experiment, reading: Reading, entry: Entry) -> Report:
    """Draw the figures and write the page.

    Args:
        experiment: the reproduced experiment.
        reading: its runs.
        entry: its entry.
    """
    metrics = list(dict.fromkeys(leaf.curve.metric for claim in experiment.claims for leaf in claim.measured))
    figures = make_figures(entry, experiment.arms, reading, metrics, Headline(**experiment.config["report"]))
    folder = experiment.outputs / experiment.name
    suffix = entry_name("report", experiment.scale, experiment.variant)
    pictures = folder / suffix.replace("report", "figures", 1)
    pictures.mkdir(parents=True, exist_ok=True)
    for drawn in figures:
        write_atomically(pictures / f"{drawn.name}.svg", on_white(drawn.svg))
        (pictures / f"{drawn.name}.png").write_bytes(drawn.png)
    page = folder / f"{suffix}.html"
    write_page(page, render_page(entry, figures, metrics, command_of(experiment)))
    return Report(page, {drawn.name: pictures / f"{drawn.name}.png" for drawn in figures})


def command_of(experiment: Experiment) -> str:
    """The command that repeats the reproduction."""
    return shlex.join(["regrun", "reproduce", *experiment.words])


def render_page(entry: Entry, figures: list[Figure], metrics: list[str], command: str) -> str:
    """The page as HTML."""
    shown = [name for name in metrics if any(name in arm.final for arm in entry.arms.values())]
    return (
        environment()
        .get_template("report.html")
        .render(
            entry=entry,
            figures=[(drawn, in_page(drawn.svg)) for drawn in figures],
            metrics=shown,
            command=command,
            paper_figures=paper_figures,
            title=entry.paper.get("title", entry.experiment),
        )
    )


@cache
def environment() -> Environment:
    """The template environment with its functions."""
    result = Environment(
        loader=PackageLoader("regrun.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result.globals |= {
        "Verdict": Verdict,
        "verdicts": list(Verdict),
        "colors": {verdict.value: color for verdict, color in VERDICT_COLORS.items()},
        "marks": dict(zip([verdict.value for verdict in Verdict], "✓✗~·", strict=True)),
        "interval_svg": interval_svg,
    }
    result.filters |= {
        "figure": figure,
        "duration": duration,
        "p_text": p_text,
        "estimate": lambda pair: estimate_text(Bounds(*pair)),
        "summary": summary,
        "seeds": seeds,
        "count": count,
    }
    return result


def summary(values: Sequence[float]) -> tuple[str, str]:
    """The final values of an arm in two lines: mean, and range over seeds.

    If some values are not finite, their number replaces the mean, and the range covers the others. If all are
    nan, the metric does not apply to the arm.

    Args:
        values: value of each seed.
    """
    finite = [value for value in values if math.isfinite(value)]
    if all(map(math.isnan, values)):
        return "–", ""
    span = f"{figure(min(finite))} to {figure(max(finite))}" if len(finite) > 1 else ""
    if len(finite) == len(values):
        return figure(arithmetic_mean(values)), span
    rest = f"the others {span}" if span else f"the other {figure(finite[0])}" if finite else ""
    return f"not finite in {len(values) - len(finite)} of {len(values)}", rest


def paper_figures(paper: Mapping[str, Any]) -> str:
    """The paper's own figures and their source, in one line."""
    figures = ", ".join(f"{name} {value}" for name, value in paper.items() if name != "where")
    where = str(paper.get("where", ""))
    return f"{figures} ({where})" if figures and where else figures or where


def interval_svg(comparison: Comparison) -> Markup:
    """A comparison as an inline drawing: wanted region, margin, interval and seeds."""
    label = f"{estimate_text(Bounds(*comparison.estimate))}, wanted {comparison.wanted}"
    comparison = comparison.to_scale()
    low, high = axis_range(comparison)

    def x(value: float) -> str:
        return f"{2 + 196 * (min(max(value, low), high) - low) / (high - low):.1f}"

    color = VERDICT_COLORS[comparison.verdict]
    left, right = (x(end) for end in comparison.ends)
    a, b = (x(end) for end in comparison.interval)
    centre = comparison.middle
    marks = [
        f'<rect x="{left}" y="2" width="{float(right) - float(left):.1f}" height="22" class="wanted"/>',
        *(
            f'<line x1="{x(end)}" x2="{x(end)}" y1="1" y2="25" class="margin"/>'
            for end in comparison.ends
            if low < end < high
        ),
        *(
            f'<line x1="{x(seed)}" x2="{x(seed)}" y1="18" y2="23" class="seed"/>'
            for seed in (middle(*pair) for pair in comparison.values)
            if low <= seed <= high
        ),
        f'<line x1="{a}" x2="{b}" y1="12" y2="12" stroke="{color}" stroke-width="4"/>',
        f'<circle cx="{x(centre)}" cy="12" r="4.5" fill="{color}"/>' if low <= centre <= high else "",
    ]
    head = f'<svg class="interval" viewBox="0 0 200 26" role="img" aria-label="{Markup.escape(label)}">'
    return Markup(head + "".join(marks) + "</svg>")


def in_page(svg: str) -> Markup:
    """A figure for the page: it takes the page's ink, and its ids are made unique."""
    body = svg[svg.index("<svg") :].replace(INK, "currentColor")
    tag, rest = body[: (end := body.index(">"))], body[end:]
    return Markup(re.sub(r' (width|height)="[^"]*"', "", tag) + rest)  # the page decides on the size


def on_white(svg: str) -> str:
    """A figure for a file, on a white background."""
    start = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:start]}\n <rect width="100%" height="100%" fill="white"/>{svg[start:]}'


def write_page(page: Path, text: str) -> None:
    """Write a page, replacing only a page of regrun's.

    Raises:
        UserError: if another file has this name.
    """
    if page.exists() and not OWN_TITLE.search(page.read_text(encoding="utf-8", errors="replace")[:2000]):
        raise UserError(
            f"{page} is not a page of regrun's and is left as it is; move it away, or choose another outputs="
        )
    write_atomically(page, text)
