"""What a person at the terminal sees of a run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from regrun.streams import Stream

OUT = Console(file=cast(IO[str], Stream("stdout")), highlight=False)
ERR = Console(file=cast(IO[str], Stream("stderr")), stderr=True, highlight=False)


def complain(message: str) -> None:
    """One line to standard error."""
    ERR.print(Text.assemble(("regrun: ", "bold red"), message), soft_wrap=True)


class Display:
    """A run's header, its progress bar and its results.

    Args:
        brief: print only the bar: a sweep has its own lines.
        silent: print nothing: other processes share the terminal.
    """

    def __init__(self, brief: bool = False, silent: bool = False) -> None:
        self.brief = brief or silent
        self.progress: Progress | None = None
        self.shows_bar = OUT.is_terminal and not silent
        self.accuracy: float | None = None

    def header(self, title: str, facts: Mapping[str, str]) -> None:
        """The panel that says what is about to run."""
        if self.brief:
            return
        table = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
        OUT.print(Panel(table, title=f"[bold]{title}[/]", title_align="left", expand=False))

    def start(self, title: str, steps: int, done: int) -> None:
        """The progress bar, on a terminal."""
        if not self.shows_bar:
            return
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  test accuracy {task.fields[accuracy]}"),
            TimeRemainingColumn(),
            console=OUT,
            transient=True,
        )
        self.progress.add_task(title if self.brief else "training", total=steps, loss="–", accuracy="–")
        self.progress.start()
        self.show(done, None)

    def show(self, step: int, loss: float | None) -> None:
        """Move the bar."""
        if self.progress is None:
            return
        fields: dict[str, Any] = {} if loss is None else {"loss": f"{loss:.4g}"}
        if self.accuracy is not None:
            fields["accuracy"] = f"{self.accuracy:.1%}"
        self.progress.update(self.progress.task_ids[0], completed=step, **fields)

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Keep what the bar shows of an evaluation."""
        self.accuracy = metrics.get("test_accuracy", self.accuracy)

    def stop(self) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def note(self, line: str) -> None:
        """A line for the user."""
        if not self.brief:
            OUT.print(Text(line), soft_wrap=True)

    def results(self, metrics: Mapping[str, float | None], directory: Path) -> None:
        """The final metrics, the record's path, and how to open it. Per-tensor metrics stay in the record."""
        if self.brief:
            return
        table = Table(box=None, header_style="dim")
        table.add_column("metric")
        table.add_column("final", justify="right")
        for name, value in metrics.items():
            if "/" not in name:
                table.add_row(name, "–" if value is None else f"{value:.6g}")
        from regrun.records.divergence import MARK, words_of

        OUT.print(table)
        if how := words_of({name: math.nan if value is None else value for name, value in metrics.items()}):
            OUT.print(Text(f"diverged  {how}", style=MARK[1]), soft_wrap=True)
        OUT.print(Text(f"record  {directory}"), soft_wrap=True)
        OUT.print(Text(f"open    {shlex.join(['regrun', 'show', str(directory)])}"), soft_wrap=True)
