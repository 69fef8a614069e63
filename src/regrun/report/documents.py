"""Documents made from the ledger: a page and a figure per paper, the index, the README's table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from regrun.claims import Bounds, Verdict
from regrun.claims.wording import estimate_text, figure
from regrun.matrix.cells import Result
from regrun.plural import count, listed, seeds
from regrun.report.figures import arm_colors, draw_headline, headline_caption, headline_title, svg_of
from regrun.report.page import paper_figures
from regrun.report.plain_svg import plain_svg
from regrun.report.terminal import MARKS
from regrun.reproduction.entry import ClaimEntry, Entry
from regrun.reproduction.judging import arms_of
from regrun.reproduction.ledger import entry_name
from regrun.reproduction.progress import duration

PAPERS = Path("docs", "papers")  # in a checkout
BEGIN, END = "<!-- ledger -->", "<!-- /ledger -->"
TABLES_BEGIN, TABLES_END = "<!-- matrix -->", "<!-- /matrix -->"
GENERATED = "<!-- made from outputs/ledger by `make ledger` -->\n"
OTHER = "other"  # the topic of an experiment without one

Topics = Mapping[str, str]
"""The topic of each experiment that names one."""


def write_documents(root: Path, entries: Sequence[Entry], results: Sequence[Result], topics: Topics) -> None:
    """Write all documents of a checkout, and remove pages and figures without an entry."""
    figures = {
        PAPERS / figure_place(entry): figure_svg(entry) for entry in entries if entry.curves is not None
    }
    texts = pages(entries, topics) | figures
    for old in [*(root / PAPERS).glob("*.md"), *(root / PAPERS / "figures").glob("*.svg")]:
        if old.relative_to(root) not in texts:
            old.unlink()
    for place, text in texts.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    readme = root / "README.md"
    text = with_table(readme.read_text(encoding="utf-8"), entries, topics)
    readme.write_text(with_matrices(text, results), encoding="utf-8")


def pages(entries: Sequence[Entry], topics: Topics) -> dict[Path, str]:
    """A page for each entry, and the index, by path in a checkout."""
    made = {PAPERS / f"{stem(entry)}.md": page(entry, topics) for entry in entries}
    return {PAPERS / "index.md": index(entries, topics), **made}


def stem(entry: Entry) -> str:
    """The file stem of an entry."""
    return entry_name(entry.experiment, entry.scale)


def figure_place(entry: Entry) -> str:
    """The path of an entry's figure, relative to its page."""
    return f"figures/{stem(entry)}.svg"


def figure_svg(entry: Entry) -> str:
    """The first figure of a report, from the curves in an entry, as compact SVG."""
    if entry.curves is None:
        raise ValueError(f"the entry of {entry.experiment} holds no curves")
    return plain_svg(svg_of(draw_headline(entry.curves, arm_colors(arms_of(entry)))))


# ------------------------------------------------------------------ the tables


def index(entries: Sequence[Entry], topics: Topics) -> str:
    """The index: all papers, by topic."""
    parts = [
        GENERATED,
        "# Papers\n",
        f"{counts_in_words(entries)}. Each page has what a paper says, how it was run, its claims with their "
        "intervals, and the figure. The README says [when a claim counts as reproduced]"
        "(../../README.md#reproduce-a-paper).\n",
        table(entries, topics, ""),
    ]
    for topic, members in by_topic(entries, topics).items():
        parts += [f"## {topic}\n", *head("paper", "experiment", "scale", "seeds")]
        for entry in members:
            link = f"[{cell(title_of(entry))}]({stem(entry)}.md)"
            columns = [link, f"`{entry.experiment}`", entry.scale, str(entry.least_seeds), *counts([entry])]
            parts.append(row(columns))
        parts.append("")
    return "\n".join(parts)


def table(entries: Sequence[Entry], topics: Topics, place: str) -> str:
    """A table with a line per topic: number of papers and counts of verdicts.

    Args:
        entries: entries of the ledger.
        topics: topics of the experiments.
        place: path of the index relative to the document; empty in the index itself.
    """
    lines = head("topic", "papers")
    for topic, members in by_topic(entries, topics).items():
        link = f"[{topic}]({place}#{anchor(topic)})"
        lines.append(row([link, str(papers(members)), *counts(members)]))
    lines.append(row(["**all**", f"**{papers(entries)}**", *(n and f"**{n}**" for n in counts(entries))]))
    return "\n".join(lines) + "\n"


def by_topic(entries: Sequence[Entry], topics: Topics) -> dict[str, list[Entry]]:
    """The entries of each topic in alphabetical order, entries without a topic last."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(topics.get(entry.experiment, OTHER), []).append(entry)
    return {topic: groups[topic] for topic in sorted(groups, key=lambda topic: (topic == OTHER, topic))}


def papers(entries: Sequence[Entry]) -> int:
    """The number of papers, some of which have several experiments."""
    return len({title_of(entry) for entry in entries})


def head(*names: str) -> list[str]:
    """A table head that ends with the verdict columns."""
    verdicts = [f"{mark} {verdict.value}" for verdict, (mark, _) in MARKS.items()]
    return [row([*names, *verdicts]), row(["---"] * (len(names) + len(verdicts)))]


def counts(entries: Sequence[Entry]) -> list[str]:
    """The number of claims with each verdict; empty for 0."""
    return [str(sum(entry.count(verdict) for entry in entries) or "") for verdict in Verdict]


def counts_in_words(entries: Sequence[Entry]) -> str:
    """A table of papers with the counts of their verdicts."""
    found: Counter[Verdict] = Counter()
    for entry in entries:
        found += Counter({verdict: entry.count(verdict) for verdict in Verdict})
    verdicts = ", ".join(f"{found[verdict]} {verdict.value}" for verdict in Verdict if found[verdict])
    number = f"{count(papers(entries), 'paper')} in {count(len(entries), 'experiment')}"
    return f"{number} with {count(found.total(), 'claim')}: {verdicts}"


def row(columns: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(columns)} |"


def anchor(heading: str) -> str:
    """The end of a link to a heading."""
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def title_of(entry: Entry) -> str:
    """The paper's title."""
    return str(entry.paper.get("title", entry.experiment))


def with_table(text: str, entries: Sequence[Entry], topics: Topics) -> str:
    """The document with a new table between its marks."""
    return between(text, BEGIN, END, table(entries, topics, (PAPERS / "index.md").as_posix()))


def with_matrices(text: str, results: Sequence[Result]) -> str:
    """The document with new cross tables between their marks."""
    return between(text, TABLES_BEGIN, TABLES_END, "".join(map(matrix_chapter, results)))


def between(text: str, begin: str, end: str, content: str) -> str:
    """The document with new content between two marks."""
    start, stop = text.index(begin) + len(begin), text.index(end)
    return f"{text[:start]}\n{content}{text[stop:]}"


def matrix_chapter(result: Result) -> str:
    """A cross table: its heat map, its runs, and the significant differences."""
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
    """A number with few digits."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}"


# -------------------------------------------------------------------- a page


def page(entry: Entry, topics: Topics) -> str:
    """The page of an entry."""
    paper = entry.paper
    source = [str(paper[key]) for key in ("authors", "venue") if key in paper]
    if "arxiv" in paper:
        source.append(f"[arXiv {paper['arxiv']}](https://arxiv.org/abs/{paper['arxiv']})")
    topic = topics.get(entry.experiment, OTHER)
    scale = "" if entry.scale == "small" else f" --scale {entry.scale}"
    parts = [
        GENERATED,
        f"# {title_of(entry)}\n",
        f"{' · '.join(source)}\n",
        f"[{topic}](index.md#{anchor(topic)}) · {verdicts_of(entry)}\n",
    ]
    for key, heading in (("says", "What the paper says"), ("settings", "How it is run here")):
        if key in paper:
            parts += [f"## {heading}\n", f"{paper[key]}\n"]
    parts += [
        "```",
        f"regrun reproduce {entry.experiment}{scale}",
        "```\n",
        "## Claims\n",
        claims_table(entry),
    ]
    if entry.curves is not None:
        title = headline_title(entry.curves)
        parts += [
            f"## {title}\n",
            f"![{title}]({figure_place(entry)})\n",
            f"{headline_caption(entry.curves)}\n",
        ]
    parts += ["## Cost and provenance\n", *(f"- {fact}" for fact in facts(entry))]
    return "\n".join(parts) + "\n"


def verdicts_of(entry: Entry) -> str:
    """The counts of an entry's verdicts in words."""
    found = [(mark, entry.count(verdict), verdict.value) for verdict, (mark, _) in MARKS.items()]
    return ", ".join(f"{mark} {number} {words}" for mark, number, words in found if number)


def claims_table(entry: Entry) -> str:
    """The table of claims: the paper's figures and the measured ones."""
    lines = [
        "| | claim | expected | paper | measured, with its 95 % interval | p, Holm |",
        "|---|---|---|---|---|---|",
        *(_row(claim) for claim in entry.claims),
    ]
    return "\n".join(lines) + "\n"


def facts(entry: Entry) -> list[str]:
    """The cost of an entry, its hardware, and its code."""
    env = entry.environment
    several = {arm.seeds for arm in entry.arms.values()}
    number = count(entry.least_seeds, "seed")
    if len(several) > 1:
        number = f"{entry.least_seeds} to {count(entry.most_seeds, 'seed')}"
    lines = [
        f"{count(len(entry.arms), 'arm')}, {number}; {count(entry.cost.runs, 'run')}, "
        f"{duration(entry.cost.wall_seconds)} of run time, "
        f"{duration(entry.cost.cpu_seconds)} of processor time",
        f"{env['cpu']}, {entry.device}; Python {env['python']}, torch {env['versions'].get('torch')}",
        f"judged {entry.judged}; commit {', '.join(map(short, entry.commits))}; "
        f"[entry](../../outputs/ledger/{stem(entry)}.json)",
    ]
    if entry.data:
        lines.append(f"data: {'; '.join(entry.data)}")
    if entry.diverged:
        lines.append(diverged_of(entry))
    return lines


def diverged_of(entry: Entry) -> str:
    """A sentence on the diverged runs."""
    arms = [f"`{arm}` in {seeds(numbers)}" for arm, numbers in entry.diverged.items()]
    return f"diverged: {listed(arms)}"


def short(commit: str) -> str:
    """An abbreviated commit, marked if the checkout had been edited."""
    return commit[:10] + ("+" if commit.endswith("+") else "")


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
    return row([cell(column) for column in columns])


def cell(text: str) -> str:
    """Text escaped for a table cell."""
    return " ".join(text.replace("|", "\\|").split())
