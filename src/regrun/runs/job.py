"""The function that Hydra calls for each job, and its outcome."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from regrun.config.arms import arm_name, read_arms
from regrun.config.composing import experiment_name, plain_config, prepare_hydra
from regrun.config.typed import task_overrides
from regrun.console import Display
from regrun.contracts.stopping import StoppedError
from regrun.errors import LostProcessError, TrainingDivergedError, UserError, one_line
from regrun.records.divergence import divergence
from regrun.records.record import Record, RecordBusyError, Status
from regrun.runs.run import STOP, Run, command_line, is_first_process

# Worker processes unpickle a job by importing this module.
prepare_hydra()

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
RUNNING = threading.Lock()  # held while this process executes a run
ARMS_SWEEPER = "hydra_plugins.regrun_sweeper.ArmsSweeper"


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        label: the run, for messages.
        status: the record's status.
        directory: the record.
        exit_code: 0 complete, 1 a bug, 2 a user's mistake, 130 interrupted.
        message: why it is not complete, in one line.
        was_there: whether the run was complete beforehand.
        divergence: how the run diverged, whether it completed or failed; empty if it did not.
    """

    label: str
    status: Status
    directory: Path
    exit_code: int = 0
    message: str = ""
    was_there: bool = False
    divergence: str = ""


def job(cfg: DictConfig) -> Outcome:
    """Execute one run for Hydra. Never raises if the run fails."""
    hydra: DictConfig = HydraConfig.instance().cfg.hydra  # type: ignore[union-attr]
    multirun = hydra.mode == RunMode.MULTIRUN
    packed = multirun and hydra.launcher._target_ != BASIC_LAUNCHER
    watched = multirun and hydra.sweeper._target_ == ARMS_SWEEPER  # this sweeper shows a table of its own
    with_hydra = cfg.copy()
    with open_dict(with_hydra):
        with_hydra["hydra"] = hydra
    overrides = task_overrides(with_hydra)
    experiment = experiment_name(with_hydra)
    directory = Path(os.path.relpath(hydra.runtime.output_dir))
    label = label_of(experiment, overrides)
    display = Display(brief=multirun, silent=packed or watched or not is_first_process())
    RUNNING.acquire()
    try:
        config = plain_config(with_hydra)
        arm = arm_name(overrides, read_arms(config["arms"]))
        run = Run(config, experiment, arm, overrides, config_dirs(hydra), directory, display)
        if run.is_complete():
            return Outcome(
                label, Status.COMPLETE, directory, was_there=True, divergence=divergence(run.record)
            )
        with stop_on_signal(), threads(config["trainer"].get("threads")), quiet_torch():
            run.execute()
        return how_it_ended(None, label, directory)
    except Exception as error:
        go_on = f"go on with: {command_line(overrides, config_dirs(hydra))}"
        outcome = how_it_ended(error, label, directory, go_on)
        if outcome.exit_code == 1 and outcome.status is Status.FAILED and not multirun:
            traceback.print_exc()  # a sweep prints one line per run, and the record has the traceback
        return outcome
    finally:
        display.stop()
        remove_if_empty(directory)
        RUNNING.release()


def how_it_ended(error: BaseException | None, label: str, directory: Path, go_on: str = "") -> Outcome:
    """The outcome of a run that raised ``error``, or none.

    Args:
        error: the exception, if any.
        label: the run, for messages.
        directory: the record.
        go_on: how to resume it, if it was interrupted.
    """
    if error is None:
        return Outcome(label, Status.COMPLETE, directory, divergence=divergence(Record(directory)))
    if isinstance(error, StoppedError):
        return Outcome(label, Status.INTERRUPTED, directory, 130, go_on)
    if isinstance(error, RecordBusyError):
        return Outcome(label, Status.RUNNING, directory, 2, one_line(error))
    if isinstance(error, LostProcessError):
        return Outcome(label, Status.DIED, directory, 1, one_line(error))
    if isinstance(error, TrainingDivergedError):
        message = one_line(error)
        return Outcome(label, Status.FAILED, directory, 2, message, divergence=message)
    if isinstance(error, UserError):
        return Outcome(label, Status.FAILED, directory, 2, one_line(error))
    return Outcome(label, Status.FAILED, directory, 1, f"{type(error).__name__}: {one_line(error)}")


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Silence torch's deprecation warning about torch.jit, which its own forward mode uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=FutureWarning)
        yield


def follow(launcher: int) -> None:
    """End this worker when its launcher has died: after a ``kill -9`` nobody else would.

    A run in progress saves its state first.

    Args:
        launcher: process id of the parent.
    """

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        STOP.asked = True
        RUNNING.acquire()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def label_of(experiment: str, overrides: Sequence[str]) -> str:
    """The run in one line, for messages."""
    return " ".join([experiment, *(o for o in overrides if not o.startswith("experiment="))])


def config_dirs(hydra: DictConfig) -> list[str]:
    """The folders given with ``--config-dir``."""
    sources = hydra.runtime.config_sources
    return [os.path.relpath(source.path) for source in sources if source.provider == "command-line"]


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """Let ``STOP`` handle Ctrl-C, SIGTERM and SIGHUP, then restore the handlers."""
    earlier = {number: signal.getsignal(number) for number in STOP.SIGNALS}
    STOP.listen()
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in earlier.items():
                signal.signal(number, handler)


@contextmanager
def threads(wished: int | None) -> Iterator[None]:
    """Compute with ``wished`` threads, then restore the number.

    ``None`` keeps torch's own number: ``OMP_NUM_THREADS``, which joblib sets to a worker's share of the
    cores, or all cores.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wished or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def remove_if_empty(directory: Path) -> None:
    """Remove a record's folder, and its arm's and its experiment's, if they are empty."""
    for folder in (directory, *directory.parents[:2]):
        try:
            folder.rmdir()
        except OSError:
            return
