"""``regrun list``: every experiment and every component, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.table import Table
from rich.text import Text

from regrun.config.catalogue import components, experiments
from regrun.config.user_files import folders_of
from regrun.console import OUT
from regrun.verbs.options import Options


def run(words: Sequence[str]) -> int:
    """List the choices that match all words; exit code 1 if none does."""
    parser = Options("regrun list", description="Every experiment and every component, one line each.")
    parser.add_argument("words", nargs="*", help="show only lines that contain all of these")
    parser.add_argument(
        "--config-dir", "-cd", type=Path, action="append", default=[], help="your own configs"
    )
    options = parser.parse_args(words)
    folders = folders_of(options.config_dir)
    entries = [*experiments(folders), *components(folders)]
    chosen = [entry for entry in entries if entry.matches(options.words)]
    if not chosen:
        OUT.print(f"nothing matches {' '.join(options.words)!r}")
        return 1
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for group, members in groupby(chosen, key=lambda entry: entry.group):
        table.add_row(Text(group, style="bold"))
        for entry in members:
            table.add_row(Text(f"  {entry.name}"), Text(entry.says, style="dim"))
    OUT.print(table)
    return 0
