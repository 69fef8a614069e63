"""Runs of a sweep that are trained together as one stacked model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrun.config.arms import arm_name, read_arms
from regrun.config.composing import experiment_name, plain_config
from regrun.config.typed import task_overrides
from regrun.console import Display
from regrun.errors import UserError, naming_full_disks
from regrun.records.damage import DamagedError
from regrun.runs.building import build
from regrun.runs.job import (
    RUNNING,
    Outcome,
    config_dirs,
    how_it_ended,
    quiet_torch,
    remove_if_empty,
    stop_on_signal,
    threads,
)
from regrun.runs.run import Run
from regrun.sweeps.composer import Composer

if TYPE_CHECKING:
    from regrun.procedures.stacking import Ending
    from regrun.sweeps.jobs import Job

MOST_RUNS = 64
MOST_WEIGHTS = 1_000_000  # a larger model keeps a GPU busy; for engine=auto


@dataclass(frozen=True)
class Candidate:
    """A run that may be stacked.

    Attributes:
        job: the run.
        config: its resolved config.
        overrides: its task overrides, for the record.
        experiment: the experiment's name.
        arm: the arm's name.
        folders: folders of the user's own configs.
    """

    job: Job
    config: dict[str, Any]
    overrides: list[str]
    experiment: str
    arm: str
    folders: list[str]

    @property
    def key(self) -> str:
        """A key that is equal for runs that can share a stack."""
        procedure = dict(self.config["procedure"])
        for part in ("optimizer", "regularizers"):
            procedure[part] = without_floats(procedure.get(part))
        return json.dumps([procedure, self.config["trainer"]], sort_keys=True, default=str)


def without_floats(node: Any) -> Any:
    """A config with every float replaced by a placeholder."""
    if isinstance(node, dict):
        return {key: without_floats(value) for key, value in node.items()}
    if isinstance(node, list):
        return [without_floats(value) for value in node]
    return "float" if isinstance(node, float) else node


def plan_stacks(jobs: Sequence[Job], compose: Composer, launches_here: bool) -> list[list[Candidate]]:
    """Group jobs into stacks of at least two runs.

    Args:
        jobs: the jobs to run.
        compose: composes a job's config.
        launches_here: whether runs are executed in this process, one after another.

    Raises:
        UserError: if the engine is unknown, or stacks are requested with a launcher of other processes.
    """
    if len(jobs) < 2 or not is_stacked(compose(jobs[0].overrides), launches_here):
        return []
    groups: dict[str, list[Candidate]] = {}
    for job in jobs:
        config = compose(job.overrides)
        saved = (job.directory / "checkpoint.ckpt").exists() and not job.force
        if saved or not is_stacked(config, launches_here):
            continue
        overrides = task_overrides(config)
        plain = plain_config(config)
        arm = arm_name(overrides, read_arms(plain["arms"]))
        folders = config_dirs(config.hydra)
        found = Candidate(job, plain, overrides, experiment_name(config), arm, folders)
        groups.setdefault(found.key, []).append(found)
    chunks = [group[k : k + MOST_RUNS] for group in groups.values() for k in range(0, len(group), MOST_RUNS)]
    return [chunk for chunk in chunks if len(chunk) > 1]


def is_stacked(config: Any, launches_here: bool) -> bool:
    """Whether a run is to be stacked.

    Raises:
        UserError: if ``engine=vmap`` is requested where it is impossible.
    """
    engine, trainer = config.engine, config.trainer
    if engine == "vmap" and not launches_here:
        raise UserError("engine=vmap trains many runs in one process; leave out hydra/launcher")
    alone = trainer.devices == 1 and trainer.num_nodes == 1
    wanted = engine == "vmap" or (engine == "auto" and trainer.accelerator in ("gpu", "cuda"))
    return wanted and alone and launches_here


def run_stack(stack: Sequence[Candidate], silent: bool) -> list[Outcome]:
    """Train a stack; returns the runs' outcomes in order.

    Args:
        stack: at least two runs with equal keys.
        silent: whether to hide progress.

    Raises:
        Exception: with the reason, if the runs must be run one by one.
    """
    from regrun.procedures.stacking import Member, train_stacked

    first = stack[0].config
    most = MOST_WEIGHTS if first["engine"] == "auto" else None
    runs = []
    with RUNNING, naming_full_disks(), stop_on_signal(), threads(first["trainer"]["threads"]), quiet_torch():
        members = []
        for k, found in enumerate(stack):
            display = Display(brief=True, silent=silent or k > 0)
            run = Run(
                found.config,
                found.experiment,
                found.arm,
                found.overrides,
                found.folders,
                found.job.directory,
                display,
            )
            procedure, run.loggers = build(found.config)
            runs.append(run)
            members.append(Member(procedure, run))
        checkpoint = checkpoint_of(runs)
        if first["force"]:
            checkpoint.unlink(missing_ok=True)
        try:
            endings = train_stacked(members, checkpoint, most)
        except DamagedError as error:
            endings = [error] * len(runs)
        except BaseException as error:
            for run in runs:
                run.abandon(error)
            if isinstance(error, Exception):
                checkpoint.unlink(missing_ok=True)  # the runs are trained one by one instead
            raise
        finally:
            remove_if_empty(checkpoint.parent)
        return [close(run, found, ending) for run, found, ending in zip(runs, stack, endings, strict=True)]


def checkpoint_of(runs: Sequence[Run]) -> Path:
    """The checkpoint file of a stack, which depends on exactly these runs."""
    identities = " ".join(sorted(run.identity for run in runs))
    name = hashlib.sha256(identities.encode()).hexdigest()[:10]
    return Path(runs[0].config["outputs"]).absolute() / "stacks" / name / "checkpoint.ckpt"


def close(run: Run, found: Candidate, ending: Ending) -> Outcome:
    """Complete a run's record, or leave it unfinished."""
    label, directory = found.job.label, found.job.directory
    try:
        if isinstance(ending, BaseException):
            raise ending
        run.complete(ending)
    except BaseException as error:
        return how_it_ended(run.abandon(error), label, directory, "the same sweep goes on with its stack")
    return how_it_ended(None, label, directory)
