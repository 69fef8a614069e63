"""Verdicts in the terminal, one line each, with the interval drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from regrun.claims import Bounds, Verdict
from regrun.claims.wording import estimate_text, figure
from regrun.plural import count, seeds
from regrun.records.divergence import MARK as DIVERGED
from regrun.reproduction.entry import ClaimEntry, Comparison, Entry

MARKS = {
    Verdict.REPRODUCED: ("✓", "green"),
    Verdict.NOT_REPRODUCED: ("✗", "red"),
    Verdict.INCONCLUSIVE: ("~", "yellow"),
    Verdict.NOT_RUN: ("·", "dim"),
}
WIDTH = 29


def verdict_table(entry: Entry) -> RenderableType:
    """Print every claim: verdict, quantity with its interval drawn, and reason."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold", ratio=1)
    for claim in entry.claims:
        mark, style = MARKS[claim.verdict]
        head = Text.assemble((claim.name, "bold"), "  ", (claim.verdict.value, style))
        lines: list[RenderableType] = [head, Text(claim.says), Text(f"expected  {claim.expect}", style="dim")]
        lines += [comparison_line(comparison, claim) for comparison in claim.comparisons[:8]]
        if len(claim.comparisons) > 8:
            more = count(len(claim.comparisons) - 8, "more comparison")
            lines.append(Text(f"and {more}", style="dim"))
        lines.append(Text(claim.why + p_words(claim), style="dim"))
        table.add_row(Text(mark, style=style), Group(*lines, Text()))
    return table


def diverged_lines(entry: Entry) -> list[Text]:
    """Print a line for each arm with diverged runs."""
    mark, style = DIVERGED
    return [
        Text.assemble((mark, style), f" {arm}  diverged in {seeds(numbers)}")
        for arm, numbers in entry.diverged.items()
    ]


def comparison_line(comparison: Comparison, claim: ClaimEntry) -> Text:
    """The interval, drawn and in numbers."""
    low, high = comparison.interval
    mark, style = MARKS[comparison.verdict]
    return Text.assemble(
        (draw(comparison), style),
        f"  {estimate_text(Bounds(*comparison.estimate))} [{figure(low)}, {figure(high)}]",
        (f"  wanted {comparison.wanted}  ({comparison.method}, {count(claim.seeds, 'seed')})", "dim"),
        (f"  {mark}" if len(claim.comparisons) > 1 else "", style),
    )


def p_words(claim: ClaimEntry) -> str:
    """The p-values, raw and corrected."""
    if claim.p is None or claim.p_holm is None:
        return ""
    words = f"; p {p_text(claim.p)}, {p_text(claim.p_holm)} after Holm's correction"
    if claim.p <= 0.05 < claim.p_holm:
        words += ", which does not hold for all claims together"
    return words


def p_text(p: float) -> str:
    """A formatted p-value."""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def draw(comparison: Comparison, width: int = WIDTH) -> str:
    """An interval as a line of characters, with the margin as a bar: ``──├──●──┤──┃──``."""
    comparison = comparison.to_scale()
    low, high = comparison.interval
    middle = comparison.middle
    finite = [v for v in (low, high, middle, *comparison.ends) if math.isfinite(v)]
    if not finite:
        return "─" * width
    left, right = min(finite), max(finite)
    pad = 0.12 * (right - left) or abs(right) * 0.1 or 1.0
    left, right = left - pad, right + pad

    def place(value: float) -> int:
        return round((min(max(value, left), right) - left) / (right - left) * (width - 1))

    line = ["─"] * width
    for k in range(place(low), place(high) + 1):
        line[k] = "━"
    line[place(low)] = "├" if math.isfinite(low) else "◀"
    line[place(high)] = "┤" if math.isfinite(high) else "▶"
    if math.isfinite(middle):
        line[place(middle)] = "●"
    for end in comparison.ends:
        if math.isfinite(end):
            line[place(end)] = "┃"
    return "".join(line)


def summary_line(entry: Entry) -> Text:
    """The counts of verdicts."""
    text = Text(f"{count(len(entry.claims), 'claim')}: ")
    words = [(verdict, entry.count(verdict)) for verdict in Verdict]
    for k, (verdict, number) in enumerate([(v, n) for v, n in words if n]):
        text.append(", " if k else "")
        text.append(f"{number} {verdict.value}", style=MARKS[verdict][1])
    return text


def overview(entries: Sequence[Entry]) -> Table:
    """Print one line per experiment."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("experiment", overflow="fold")
    for name in ("scale", "seeds", *(f"{mark} {verdict.value}" for verdict, (mark, _) in MARKS.items())):
        table.add_column(name, justify="left" if name == "scale" else "right")
    for entry in entries:
        counts = [entry.count(verdict) for verdict in Verdict]
        table.add_row(
            entry.experiment + (f" ({', '.join(entry.overrides)})" if entry.overrides else ""),
            entry.scale,
            str(entry.least_seeds),
            *(
                Text(str(number) if number else "–", style=MARKS[verdict][1] if number else "dim")
                for verdict, number in zip(Verdict, counts, strict=True)
            ),
        )
    return table
