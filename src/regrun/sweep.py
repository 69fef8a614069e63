"""Many runs of one command: none that is already complete, and none lost to another's failure."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.text import Text

from regrun.app import experiment_name, explain, record_path
from regrun.console import OUT
from regrun.errors import one_line
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
        before = outcome_on_disk(overrides, config, loader)
        if before.status is Status.COMPLETE:
            outcomes.append(replace(before, was_there=True))
            say(outcomes[-1])
        else:
            missing.append(overrides)
    returns: list[JobReturn] = []
    one_by_one = config.hydra.launcher._target_ == BASIC_LAUNCHER
    batches = [[job] for job in missing] if one_by_one else [missing] if missing else []
    done = 0
    for batch in batches:
        try:
            with nullcontext() if one_by_one else patience():
                results = list(launcher.launch(batch, initial_job_idx=done))
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) and not STOP.asked:
                raise
            # A worker was killed, or Ctrl-C met one between two runs: the records tell how far each came.
            if not STOP.asked:
                OUT.print(f"the launcher broke off: {one_line(error)[:200]}", soft_wrap=True, markup=False)
            for job in batch:
                if (left := outcome_on_disk(job, config, loader)).status is not Status.ABSENT:
                    outcomes.append(left)
                    say(left)
            break
        done += len(batch)
        returns += results
        for result in results:
            outcomes.append(outcome_of(result))
            say(outcomes[-1])
        if STOP.asked:
            break
    summarize(outcomes, len(jobs))
    return returns


def outcome_on_disk(overrides: Sequence[str], config: DictConfig, loader: ConfigLoader) -> Outcome:
    """How far a job has come, as its record says; one that is neither complete nor absent is interrupted.

    A job that is to be run again whatever its record says counts as absent.

    Raises:
        UserError: if its config cannot be composed.
    """
    try:
        job = loader.load_sweep_config(config, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    directory = Path(job.outputs) / record_path(job)
    status = Status.ABSENT if job.force else Record(directory).status
    if status not in (Status.COMPLETE, Status.ABSENT):
        status = Status.INTERRUPTED
    return Outcome(label_of(experiment_name(job), overrides), status, directory)


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
        raise SweepUnfinishedError(130 if STOP.asked else 1)


@contextmanager
def patience() -> Iterator[None]:
    """Let runs in other processes save themselves on the first Ctrl-C or SIGTERM; a second Ctrl-C kills."""
    with tempfile.TemporaryDirectory() as folder:
        stop_file = Path(folder) / "stop"

        def heed(number: int, frame: object) -> None:
            if STOP.asked and number == signal.SIGINT:
                raise KeyboardInterrupt
            STOP.asked = True
            stop_file.touch()
            OUT.print("stopping: each run saves its state (Ctrl-C again to kill)", soft_wrap=True)

        os.environ[STOP.FILE_VARIABLE] = str(stop_file)
        earlier = {number: signal.signal(number, heed) for number in STOP.SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)
            del os.environ[STOP.FILE_VARIABLE]
