"""Runs the jobs of a sweep: skips complete runs, and continues after failures."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from rich.text import Text

from regrun.console import OUT
from regrun.errors import UserError, one_line
from regrun.plural import count
from regrun.records.divergence import MARK as DIVERGED
from regrun.records.record import Record, Status
from regrun.runs.job import BASIC_LAUNCHER, Outcome
from regrun.runs.run import STOP
from regrun.sweeps.composer import Composer
from regrun.sweeps.jobs import Job
from regrun.sweeps.stacks import Candidate, plan_stacks, run_stack

MARKS = {Status.COMPLETE: ("✓", "green"), Status.INTERRUPTED: ("‖", "yellow")}
LAUNCHES_WITHOUT_PROGRESS = 3  # bounds relaunches of a run that kills its worker
LOOK_EVERY = 0.5  # seconds between checks of a run that another process writes


class SweepUnfinishedError(Exception):
    """Some runs of a sweep are not complete; the reasons have been printed.

    Args:
        exit_code: exit code of the command.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def run_jobs(
    jobs: Sequence[Job],
    launcher: Launcher,
    config: DictConfig,
    compose: Composer,
    say: Callable[[Outcome], None] | None = None,
) -> tuple[list[Outcome], list[JobReturn]]:
    """Run what is missing, and report how each run ended; call ``summarize`` next.

    Stacks are trained first. Runs that another process is writing are waited for. Runs that a launcher loses
    with its workers are launched again, as long as there is progress.

    Args:
        jobs: all jobs of the sweep.
        launcher: executes jobs, one by one or in parallel.
        config: the sweep's config.
        compose: composes a job's config.
        say: called with each outcome as soon as it is known; prints a line by default.
    """
    say = say or print_outcome
    outcomes: dict[Path, Outcome] = {}
    returns: list[JobReturn] = []

    def end(outcome: Outcome, job: Job) -> None:
        outcomes[job.directory] = outcome
        say(outcome)

    todo = []
    for job in jobs:
        if not job.force and job.status is Status.COMPLETE:
            end(job.outcome(was_there=True), job)
        else:
            todo.append(job)
    one_by_one = config.hydra.launcher._target_ == BASIC_LAUNCHER
    for outcome, job in run_stacks(plan_stacks(todo, compose, one_by_one), say is not print_outcome):
        if outcome.status is not Status.RUNNING:
            end(outcome, job)
    todo = [job for job in todo if job.directory not in outcomes]
    fruitless = 0
    while todo and not STOP.asked:
        before = (len(outcomes), sum(Record(job.directory).last_step() for job in todo))
        results, broken = launch(todo, launcher, config)
        for job, result in zip(todo, results, strict=False):
            returns.append(result)
            outcome = outcome_of(result)
            if outcome.status is Status.ABSENT:
                continue  # a stop was requested before it began
            if outcome.status is Status.DIED:
                broken = broken or outcome.message
            elif outcome.status is not Status.RUNNING:
                end(replace(outcome, label=job.label), job)
        todo = [job for job in todo if job.directory not in outcomes]
        if broken is not None:
            for job in todo:
                if not job.force and job.status is Status.COMPLETE:
                    end(job.outcome(), job)
            todo = [job for job in todo if job.directory not in outcomes]
            after = (len(outcomes), sum(Record(job.directory).last_step() for job in todo))
            fruitless = 0 if after > before else fruitless + 1
            if todo and not STOP.asked:
                OUT.print(f"the launcher broke off: {broken[:200]}", soft_wrap=True, markup=False)
            if fruitless == LAUNCHES_WITHOUT_PROGRESS:
                break
        wait_for_others(todo)
        for job in todo:
            if job.status is Status.COMPLETE and not job.force:
                end(job.outcome(was_there=True), job)
        todo = [job for job in todo if job.directory not in outcomes]
    for job in todo:
        if job.directory not in outcomes and job.status is not Status.ABSENT:
            end(job.outcome(), job)
    return list(outcomes.values()), returns


def run_stacks(stacks: Sequence[Sequence[Candidate]], silent: bool) -> Iterator[tuple[Outcome, Job]]:
    """Train each stack, and yield the outcomes. A stack that fails is skipped, with a line that says why."""
    for stack in stacks:
        if STOP.asked:
            return
        try:
            outcomes = run_stack(stack, silent)
        except Exception as error:  # an error in one run, or too little memory
            OUT.print(
                f"{count(len(stack), 'run')} not stacked: {one_line(error)}", soft_wrap=True, markup=False
            )
        else:
            yield from zip(outcomes, (found.job for found in stack), strict=True)


def launch(jobs: Sequence[Job], launcher: Launcher, config: DictConfig) -> tuple[list[JobReturn], str | None]:
    """Launch jobs; returns the results in order, and the reason if the launcher broke off."""
    one_by_one = config.hydra.launcher._target_ == BASIC_LAUNCHER
    results: list[JobReturn] = []
    for batch in [[job] for job in jobs] if one_by_one else [list(jobs)]:
        try:
            with nullcontext() if one_by_one else patience():
                overrides = [list(job.overrides) for job in batch]
                results += launcher.launch(overrides, initial_job_idx=len(results))
        except UserError:
            raise
        except (Exception, KeyboardInterrupt) as error:
            # A worker was killed, or Ctrl-C came between two runs: the records say how far each got.
            if isinstance(error, KeyboardInterrupt) and not STOP.asked:
                raise
            return results, one_line(error)
        if STOP.asked:
            break
    return results, None


def wait_for_others(jobs: Sequence[Job]) -> None:
    """Wait until no other process is writing these jobs' records, or a stop is requested."""
    said = False
    with patience():
        while not STOP.asked:
            held = [job for job in jobs if job.status is Status.RUNNING]
            if not held:
                return
            if not said:
                OUT.print(f"waiting for another process that runs {held[0].directory}", soft_wrap=True)
                said = True
            time.sleep(LOOK_EVERY)


def outcome_of(result: JobReturn) -> Outcome:
    """The outcome in a launcher's result; a job that never started its run counts as failed."""
    value: Any = result._return_value
    if isinstance(value, Outcome):
        return value
    reason = one_line(value) if isinstance(value, BaseException) else "the launcher lost it"
    return Outcome(" ".join(result.overrides or []), Status.FAILED, Path(), 1, reason)


def print_outcome(outcome: Outcome) -> None:
    """Print how a run ended, in one line."""
    mark, style = MARKS.get(outcome.status, ("✗", "red"))
    words = "already complete" if outcome.was_there else outcome.status.value
    if outcome.divergence:
        mark, style = DIVERGED
        words = "already complete, and diverged" if outcome.was_there else "diverged"
    line = Text.assemble((mark, style), f" {outcome.label}  {words}")
    line.append(f": {why}" if (why := outcome.message or outcome.divergence) else f"  {outcome.directory}")
    OUT.print(line, soft_wrap=True)


def summarize(outcomes: Sequence[Outcome], total: int) -> None:
    """Print the counts; raises ``SweepUnfinishedError`` unless every run is complete.

    A diverged run counts as diverged, whether it completed or the loss check ended it.
    """
    counts = dict.fromkeys(("complete", "already complete", "diverged", "failed", "interrupted"), 0)
    for outcome in outcomes:
        counts[how_it_counts(outcome)] += 1
    counts["not started"] = total - len(outcomes)
    words = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
    OUT.print(f"{count(total, 'run')}: {words}", soft_wrap=True)
    if sum(outcome.status is Status.COMPLETE for outcome in outcomes) < total:
        OUT.print("the same command again runs only what is missing", soft_wrap=True)
        raise SweepUnfinishedError(130 if STOP.asked else 1)


def how_it_counts(outcome: Outcome) -> str:
    """The category of a run in the sweep's last line."""
    if outcome.divergence:
        return "diverged"
    if outcome.status is Status.COMPLETE:
        return "already complete" if outcome.was_there else "complete"
    return "interrupted" if outcome.status is Status.INTERRUPTED else "failed"


@cache
def stop_file() -> Path:
    """The file by which this process asks its workers to stop, one for all launches."""
    folder = Path(tempfile.mkdtemp(prefix="regrun-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "stop"


@contextmanager
def patience() -> Iterator[None]:
    """Let runs in other processes save their state on a stop request; a second Ctrl-C kills them."""

    def heed(number: int, frame: object) -> None:
        if STOP.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        STOP.asked = True
        stop_file().touch()
        OUT.print("stopping: each run saves its state (Ctrl-C again to kill)", soft_wrap=True)

    os.environ[STOP.FILE_VARIABLE] = str(stop_file())
    earlier = {number: signal.signal(number, heed) for number in STOP.signals}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        del os.environ[STOP.FILE_VARIABLE]
