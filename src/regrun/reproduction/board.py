"""The live table of a reproduction: status and progress of arm × seed, time left."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from regrun.console import OUT
from regrun.records.divergence import MARK as DIVERGED
from regrun.records.record import Status
from regrun.reproduction.plan import PlannedRun
from regrun.reproduction.progress import Progress, duration, progress_of, seconds_left, seconds_per_run
from regrun.runs.job import Outcome
from regrun.sweeps.sweep import print_outcome

LOOK_EVERY = 0.5  # seconds
WIDEST = 10  # seeds with a column of their own
MARKS = {
    Status.ABSENT: ("·", "dim"),
    Status.COMPLETE: ("✓", "green"),
    Status.RUNNING: ("▸", "cyan"),
    Status.INTERRUPTED: ("‖", "yellow"),
    Status.DIED: ("‖", "yellow"),
    Status.FAILED: ("✗", "red"),
    Status.DAMAGED: ("✗", "red"),
}


class Board:
    """Shows progress, read from the records alone, so it works with any launcher.

    On a terminal it redraws a table; otherwise it prints a line for each completed run.

    Args:
        runs: all arms × seeds.
        workers: number of parallel runs.
        earlier: seconds per run of each arm, from an earlier reproduction.
    """

    def __init__(self, runs: Sequence[PlannedRun], workers: int, earlier: Mapping[str, float]) -> None:
        self.runs = runs
        self.workers = workers
        self.earlier = earlier
        self.arms = list(dict.fromkeys(run.arm for run in runs))
        self.seeds = sorted({run.seed for run in runs})
        self.dead = {run: run.record.manifest()["pid"] for run in runs if run.record.status is Status.DIED}
        self.progress: dict[PlannedRun, Progress] = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.live = Live(console=OUT, auto_refresh=False, transient=True) if OUT.is_terminal else None

    def __enter__(self) -> Board:
        self.look()
        if self.live:
            self.live.start()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.thread.join()
        if self.live:
            self.live.stop()
        self.look(announce=not self.live)

    def say(self, outcome: Outcome) -> None:
        """Print how a run ended, unless the table or its completion line already shows it."""
        lasts = bool(outcome.divergence) and (self.live is not None or outcome.was_there)
        if lasts or outcome.status not in (Status.COMPLETE, Status.INTERRUPTED):
            print_outcome(outcome)

    def _watch(self) -> None:
        while not self.ended.wait(LOOK_EVERY):
            self.look(announce=not self.live)
            if self.live:
                self.live.update(self.render(), refresh=True)

    def look(self, announce: bool = False) -> None:
        """Read the progress of each run; print a line for runs completed since the last call."""
        before = self.progress
        self.progress = {
            run: self.progress[run]
            if run in before and before[run].status is Status.COMPLETE
            else self._progress_of(run)
            for run in self.runs
        }
        if not announce:
            return
        for run in self.runs:
            now = self.progress[run]
            if now.status is Status.COMPLETE and before[run].status is not Status.COMPLETE:
                line = Text.assemble(mark_of(now), f" {run.arm} seed {run.seed}  {duration(now.seconds)}")
                line.append(", diverged" if now.diverged else "", style=DIVERGED[1])
                line.append(f"  ({self.summary()})", style="dim")
                OUT.print(line, soft_wrap=True)

    def _progress_of(self, run: PlannedRun) -> Progress:
        progress = progress_of(run.record)
        if progress.status is Status.RUNNING and self.dead.get(run) == progress.pid:
            return Progress(Status.DIED, progress.step, progress.steps, progress.seconds, progress.pid)
        return progress

    def summary(self) -> str:
        """The number of complete runs, and the time left."""
        complete = sum(p.status is Status.COMPLETE for p in self.progress.values())
        per_run = seconds_per_run(self.runs, self.progress, self.earlier)
        left = seconds_left(self.runs, self.progress, per_run, self.workers)
        words = f"{complete} of {len(self.runs)}"
        words += f", about {duration(left)} left" if left else ""
        diverged = sum(p.diverged for p in self.progress.values())
        return words + (f", {diverged} diverged" if diverged else "")

    def render(self) -> Group:
        """The table."""
        table = Table(box=None, header_style="dim", padding=(0, 1))
        table.add_column("arm", no_wrap=True)
        narrow = len(self.seeds) > WIDEST
        for seed in ["seeds"] if narrow else [f"seed {seed}" for seed in self.seeds]:
            table.add_column(seed, min_width=6, overflow="fold")
        for arm in self.arms:
            runs = [run for run in self.runs if run.arm == arm]
            if narrow:
                table.add_row(arm, Text.assemble(*(mark_of(self.progress[run]) for run in runs)))
            else:
                table.add_row(arm, *(self.cell(self.progress[run]) for run in runs))
        return Group(table, Text(self.summary(), style="dim"))

    def cell(self, progress: Progress) -> Text:
        """The table cell of one run."""
        mark, style = mark_of(progress)
        words = ""
        if progress.status is Status.COMPLETE:
            words = f" {duration(progress.seconds)}"
        elif progress.steps:
            words = f" {progress.fraction:.0%}"
        return Text(f"{mark}{words}", style=style)


def mark_of(progress: Progress) -> tuple[str, str]:
    """The mark of a run and its style."""
    return DIVERGED if progress.diverged else MARKS[progress.status]
