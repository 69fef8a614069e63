"""Many runs of one command: none that is already complete, and none lost to another's failure."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from rich.text import Text

from regrun.app import experiment_name, explain, plain_config, record_path
from regrun.console import OUT
from regrun.errors import UserError, one_line
from regrun.job import BASIC_LAUNCHER, Outcome, label_of
from regrun.record import Record, Status
from regrun.run import STOP

MARKS = {Status.COMPLETE: ("✓", "green"), Status.INTERRUPTED: ("‖", "yellow")}


class SweepUnfinishedError(Exception):
    """Some runs of a sweep are not complete; their reasons have been printed.

    Args:
        exit_code: of the command.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def run_sweep(
    jobs: Sequence[Sequence[str]], config: DictConfig, loader: ConfigLoader, launcher: Launcher
) -> list[JobReturn]:
    """Run what is missing of a sweep's jobs, and say how each ended, in one line each.

    Args:
        jobs: the overrides of each.
        config: the sweep's config.
        loader: composes a job's config.
        launcher: runs jobs, one after another or many at once.

    Raises:
        UserError: if a job's config cannot be composed; none has been started then.
        SweepUnfinishedError: if a run failed or was interrupted.
    """
    outcomes: list[Outcome] = []
    missing: list[Sequence[str]] = []
    for overrides in jobs:
        if complete := already_complete(overrides, config, loader):
            outcomes.append(complete)
            say(complete)
        else:
            missing.append(overrides)
    returns: list[JobReturn] = []
    one_by_one = config.hydra.launcher._target_ == BASIC_LAUNCHER
    batches = [[job] for job in missing] if one_by_one else [missing] if missing else []
    done = 0
    for batch in batches:
        with nullcontext() if one_by_one else patience():
            results = list(launcher.launch(batch, initial_job_idx=done))
        done += len(batch)
        returns += results
        for result in results:
            outcomes.append(outcome_of(result))
            say(outcomes[-1])
        if STOP.requested:
            break
    summarize(outcomes, len(jobs))
    return returns


def already_complete(overrides: Sequence[str], config: DictConfig, loader: ConfigLoader) -> Outcome | None:
    """The outcome of a job whose record is complete, unless it is to be run again."""
    try:
        job = loader.load_sweep_config(config, list(overrides))
        plain_config(job)
    except UserError:
        raise
    except Exception as error:
        raise explain(error, overrides) from error
    directory = Path(job.outputs) / record_path(job)
    if job.force or Record(directory).status is not Status.COMPLETE:
        return None
    label = label_of(experiment_name(job), overrides)
    return Outcome(label, Status.COMPLETE, directory, was_there=True)


def outcome_of(result: JobReturn) -> Outcome:
    """What a launcher's result says; a job that never reached its run counts as failed."""
    value: Any = result._return_value
    if isinstance(value, Outcome):
        return value
    reason = one_line(value) if isinstance(value, BaseException) else "the launcher lost it"
    return Outcome(" ".join(result.overrides or []), Status.FAILED, Path(), 1, reason)


def say(outcome: Outcome) -> None:
    """One line on how a run ended."""
    mark, style = MARKS.get(outcome.status, ("✗", "red"))
    words = "already complete" if outcome.was_there else outcome.status.value
    line = Text.assemble((mark, style), f" {outcome.label}  {words}")
    line.append(f": {outcome.message}" if outcome.message else f"  {outcome.directory}")
    OUT.print(line, soft_wrap=True)


def summarize(outcomes: Sequence[Outcome], total: int) -> None:
    """The counts; raises ``SweepUnfinishedError`` unless every run is complete."""
    there = sum(o.was_there for o in outcomes)
    complete = sum(o.status is Status.COMPLETE for o in outcomes) - there
    interrupted = sum(o.status is Status.INTERRUPTED for o in outcomes)
    failed = len(outcomes) - there - complete - interrupted
    counts = {
        "complete": complete,
        "already complete": there,
        "failed": failed,
        "interrupted": interrupted,
        "not started": total - len(outcomes),
    }
    OUT.print(f"{total} runs: " + ", ".join(f"{n} {what}" for what, n in counts.items() if n), soft_wrap=True)
    if there + complete < total:
        OUT.print("the same command again runs only what is missing", soft_wrap=True)
    if interrupted or len(outcomes) < total:
        raise SweepUnfinishedError(130)
    if failed:
        raise SweepUnfinishedError(1)


@contextmanager
def patience() -> Iterator[None]:
    """Let workers save their runs on the first Ctrl-C, which reaches them too; a second one kills."""

    def heed(number: int, frame: Any) -> None:
        if STOP.requested:
            raise KeyboardInterrupt
        STOP.requested = True
        OUT.print("stopping: each run saves its state (Ctrl-C again to kill)", soft_wrap=True)

    earlier = signal.signal(signal.SIGINT, heed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
