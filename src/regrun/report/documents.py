"""The documents made from the ledger: ``REPRODUCTIONS.md`` and the README's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from regrun.claims import Bounds, Verdict
from regrun.claims.wording import estimate_text, figure
from regrun.matrix.cells import Result
from regrun.plural import count, listed, seeds
from regrun.report.page import paper_figures
from regrun.report.terminal import MARKS
from regrun.reproduction.entry import ClaimEntry, Entry
from regrun.reproduction.progress import duration

BEGIN, END = "<!-- ledger -->", "<!-- /ledger -->"
TABLES_BEGIN, TABLES_END = "<!-- matrix -->", "<!-- /matrix -->"


def reproductions(entries: Sequence[Entry]) -> str:
    """The whole of ``REPRODUCTIONS.md``."""
    parts = [
        "# Reproductions\n",
        "Made from `outputs/ledger` by `make ledger`; `regrun verify NAME` judges its figures again.\n",
        readme_table(entries),
    ]
    for entry in entries:
        parts += [_chapter(entry)]
    return "\n".join(parts)


def readme_table(entries: Sequence[Entry]) -> str:
    """One line for each experiment, with the counts of its verdicts."""
    head = [f"{mark} {verdict.value}" for verdict, (mark, _) in MARKS.items()]
    lines = [
        f"| paper | experiment | scale | seeds | {' | '.join(head)} |",
        f"|---|---|---|---|{'---|' * len(head)}",
    ]
    for entry in entries:
        counts = [str(entry.count(verdict) or "") for verdict in Verdict]
        title = cell(str(entry.paper.get("title", entry.experiment)))
        arxiv = entry.paper.get("arxiv")
        link = f"[{title}](https://arxiv.org/abs/{arxiv})" if arxiv else title
        where = f"[{entry.experiment}](REPRODUCTIONS.md#{entry.experiment}-{entry.scale})"
        lines.append(f"| {link} | {where} | {entry.scale} | {entry.least_seeds} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def with_table(text: str, entries: Sequence[Entry]) -> str:
    """A document with the table anew between its marks."""
    return between(text, BEGIN, END, readme_table(entries))


def with_matrices(text: str, results: Sequence[Result]) -> str:
    """A document with the cross tables anew between their marks."""
    return between(text, TABLES_BEGIN, TABLES_END, "".join(map(matrix_chapter, results)))


def between(text: str, begin: str, end: str, content: str) -> str:
    """A document with other content between two marks."""
    start, stop = text.index(begin) + len(begin), text.index(end)
    return f"{text[:start]}\n{content}{text[stop:]}"


def matrix_chapter(result: Result) -> str:
    """A cross table: its heat map, what was run, and what differs."""
    columns = "; ".join(f"{name}: {problem.says}" for name, problem in result.problems.items())
    different = [
        f"{cell.component} on {cell.problem} ({'better' if cell.difference > 0 else 'worse'} by "
        f"{figure(abs(cell.difference))}, p {p_value(cell.p_holm)})"
        for cell in result.cells
        if cell.significant
    ]
    empty = [f"{cell.component} on {cell.problem} ({cell.why})" for cell in result.cells if cell.why]
    return "\n".join(
        [
            f"![{result.title}: means over {count(result.seeds, 'seed')}, by component and problem]"
            f"(outputs/ledger/matrix/{result.name}.svg)\n",
            f"*{result.title}*, means over {count(result.seeds, 'seed')}; "
            f"{count(result.trials, 'trial')} for each cell "
            f"with seed {result.tuning_seed}. Colours are differences from {result.baseline}, by column. "
            f"{columns}. {count(result.cost.runs, 'run')}, {duration(result.cost.wall_seconds)} of run time "
            f"on {result.environment['cpu']}.\n",
            "After Holm's correction over the table, these differ at 5 %: "
            + ("; ".join(different) if different else "none")
            + "."
            + (f" Without a value: {'; '.join(empty)}." if empty else ""),
            "",
        ]
    )


def p_value(p: float | None) -> str:
    """In a few digits."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _chapter(entry: Entry) -> str:
    paper = entry.paper
    source = [str(paper[key]) for key in ("authors", "venue") if key in paper]
    if "arxiv" in paper:
        source.append(f"[arXiv {paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})")
    env = entry.environment
    versions = env["versions"]
    lines = [
        f"## {entry.experiment} {entry.scale}\n",
        f"*{paper.get('title', entry.experiment)}*. {' · '.join(source)}\n",
        f"![Learning curves](outputs/ledger/{figure_name(entry)})\n",
        "| | claim | expected | paper | measured, with its 95 % interval | p, Holm |",
        "|---|---|---|---|---|---|",
        *(_row(claim) for claim in entry.claims),
        "",
        f"{count(entry.cost.runs, 'run')}, {duration(entry.cost.wall_seconds)} of run time on {env['cpu']}, "
        f"{entry.device}; Python {env['python']}, torch {versions.get('torch')}; judged {entry.judged}; "
        f"commit {', '.join(map(short, entry.commits))}.{data_of(entry)}{diverged_of(entry)}\n",
    ]
    return "\n".join(lines)


def data_of(entry: Entry) -> str:
    """A sentence on the data, if there is something to say."""
    return f" Data: {'; '.join(entry.data)}." if entry.data else ""


def diverged_of(entry: Entry) -> str:
    """A sentence on the runs that have diverged, if any has."""
    if not entry.diverged:
        return ""
    return (
        f" Diverged: {listed([f'`{arm}` in {seeds(numbers)}' for arm, numbers in entry.diverged.items()])}."
    )


def short(commit: str) -> str:
    """A commit's first digits, and whether the checkout had been edited."""
    return commit[:10] + ("+" if commit.endswith("+") else "")


def figure_name(entry: Entry) -> str:
    """The figure that is committed with an entry."""
    return f"{entry.experiment}.svg" if entry.scale == "small" else f"{entry.experiment}-{entry.scale}.svg"


def _row(claim: ClaimEntry) -> str:
    mark, _ = MARKS[claim.verdict]
    measured = "<br>".join(
        f"{estimate_text(Bounds(*c.estimate))} [{figure(c.interval[0])}, {figure(c.interval[1])}]"
        for c in claim.comparisons
    )
    p = "" if claim.p_holm is None else p_value(claim.p_holm)
    says = f"{claim.says} **{claim.verdict.value}**" + (
        "" if claim.verdict is Verdict.REPRODUCED else f": {claim.why}"
    )
    columns = [mark, says, f"`{claim.expect}`", paper_figures(claim.paper), measured or "–", p]
    return f"| {' | '.join(map(cell, columns))} |"


def cell(text: str) -> str:
    """Text that cannot break a table."""
    return " ".join(text.replace("|", "\\|").split())


def write_documents(root: Path, entries: Sequence[Entry], results: Sequence[Result]) -> None:
    """Write both documents of a checkout."""
    (root / "REPRODUCTIONS.md").write_text(reproductions(entries), encoding="utf-8")
    readme = root / "README.md"
    text = with_table(readme.read_text(encoding="utf-8"), entries)
    readme.write_text(with_matrices(text, results), encoding="utf-8")
