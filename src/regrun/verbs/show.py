"""``regrun show``: an experiment, a component or a record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from regrun.config.catalogue import Choice, find
from regrun.config.user_files import folders_of
from regrun.console import OUT
from regrun.records.divergence import divergence
from regrun.records.record import Record, Status
from regrun.verbs.options import Options

BLOCKS = "▁▂▃▄▅▆▇█"


def run(words: Sequence[str]) -> int:
    """Show an experiment, a component, or a record."""
    parser = Options("regrun show", description="An experiment, a component, or the record of a run.")
    parser.add_argument("name", help="an experiment's or component's name, or a record's folder")
    parser.add_argument("overrides", nargs="*", help="overrides such as scale=paper")
    parser.add_argument("--config-dir", "-cd", help="your own configs")
    options = parser.parse_args(words)
    if (folder := Path(options.name)).is_dir() and not (record := Record(folder)).is_absent():
        record.check()
        show_record(record)
        return 0
    entry = find(options.name, folders_of([options.config_dir]))
    if entry.group == "experiment":
        show_experiment(entry, options.overrides, options.config_dir)
    else:
        OUT.print(Text(f"{entry.group}={entry.name}", style="bold"))
        OUT.print(in_colours(entry.text), soft_wrap=True)
    return 0


def show_experiment(entry: Choice, overrides: list[str], config_dir: str | None) -> None:
    """Print the paper, the claims, the arms as commands, and the resolved config."""
    import yaml

    from regrun.claims import read_claims
    from regrun.config.arms import read_arms
    from regrun.config.checking import checked_config
    from regrun.config.composing import compose_config

    chosen = [f"experiment={entry.name}", *overrides]
    config = checked_config(compose_config(chosen, config_dir))
    paper: Mapping[str, Any] = config.get("paper") or {}
    OUT.print(Text(paper.get("title", entry.name), style="bold"), soft_wrap=True)
    source = [str(paper[k]) for k in ("authors", "venue") if k in paper]
    if "arxiv" in paper:
        source.append(f"arXiv {paper['arxiv']}")
    OUT.print(Text(" · ".join(source), style="dim"), soft_wrap=True)
    for key in ("says", "settings"):
        if key in paper:
            OUT.print(Padding(Text(paper[key]), (1, 0, 0, 0)))
    arms = read_arms(config["arms"])
    claims = read_claims(config["claims"], arms)
    OUT.print(Text(f"\nclaims ({len(claims)})", style="bold"))
    for claim in claims:
        OUT.print(Text.assemble((f"  {claim.name}  ", "cyan"), claim.says), soft_wrap=True)
        OUT.print(Text(f"      {claim.expect}", style="dim"), soft_wrap=True)
    OUT.print(Text(f"\narms ({len(arms)})", style="bold"))
    folder = ["--config-dir", config_dir] if config_dir else []
    for name, arm in arms.items():
        OUT.print(Text(f"  {name}", style="cyan"))
        OUT.print(
            f"      {shlex.join(['regrun', *folder, *chosen, *arm.overrides])}", soft_wrap=True, markup=False
        )
    OUT.print(Text("\nconfig", style="bold"))
    rest = {k: v for k, v in config.items() if k not in ("paper", "claims", "arms", "procedure")}
    text = yaml.safe_dump(rest, sort_keys=False, allow_unicode=True)
    OUT.print(in_colours(text), soft_wrap=True)


def in_colours(text: str) -> Text:
    """Print YAML, coloured and unwrapped."""
    coloured = Syntax("", "yaml", background_color="default").highlight(text)
    coloured.rstrip()
    return coloured


def show_record(record: Record) -> None:
    """Print a run's settings and status, and each metric's curve and final value.

    Args:
        record: a record whose files are readable.
    """
    manifest = record.manifest()
    status = record.status
    OUT.print(
        Text(f"{manifest['experiment']} · {manifest['arm']} · seed {manifest['seed']}", style="bold"),
        soft_wrap=True,
    )
    how = divergence(record)
    words = status.value if not how else "diverged" if status is Status.FAILED else "complete, and diverged"
    why = manifest.get("message", how)
    words += f": {why}" if why else ""
    if status is Status.COMPLETE and not record.is_intact():
        words += " (but its files were changed since)"
    environment = manifest["environment"]
    facts = {
        "status": words,
        "scale": manifest["scale"],
        "command": manifest["command"],
        "device": f"{manifest['device']}, precision {manifest['precision']}",
        "torch": environment["versions"].get("torch"),
        "time": f"{manifest['wall_seconds']:.1f} s, begun {manifest['started']}",
        "commit": environment["commit"] or "not from a checkout",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="dim"), Text(str(value)))
    OUT.print(table)
    history = record.history()
    if not history:
        return
    OUT.print()
    curves = Table(box=None, header_style="dim")
    curves.add_column("metric", overflow="fold")
    curves.add_column(f"steps {history[0][0]} to {history[-1][0]}", no_wrap=True)
    curves.add_column("last", justify="right")
    for name in dict.fromkeys(name for _, row in history for name in row):
        values = [row[name] for _, row in history if name in row]
        curves.add_row(name, sparkline(values), f"{values[-1]:.6g}")
    OUT.print(curves)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """A curve as a line of block characters, scaled to its finite range."""
    finite = [v for v in values if v == v and abs(v) != float("inf")]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    count = min(width, len(values))
    picked = [values[round(k * (len(values) - 1) / max(1, count - 1))] for k in range(count)]
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((v - low) * scale)] if low <= v <= high else " " for v in picked)
