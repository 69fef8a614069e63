"""Arms × seeds as a Hydra sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from regrun.config.arms import read_arms
from regrun.config.composing import experiment_name
from regrun.errors import UserError
from regrun.ranges import SEEDS
from regrun.reproduction.board import Board
from regrun.reproduction.ledger import seconds_per_arm
from regrun.reproduction.plan import choose_arms, plan_arms, plan_runs
from regrun.runs.environment import available_cores
from regrun.runs.job import BASIC_LAUNCHER
from regrun.sweeps.composer import Composer
from regrun.sweeps.jobs import Job
from regrun.sweeps.sweep import run_jobs, summarize


def run_arms(
    arguments: Sequence[str],
    wanted: Sequence[str] | None,
    seeds: int,
    config: DictConfig,
    compose: Composer,
    launcher: Launcher,
) -> list[JobReturn]:
    """Run the missing runs of arms × seeds.

    Args:
        arguments: overrides shared by all runs.
        wanted: names of arms; ``None`` for all.
        seeds: number of seeds, from 0.
        config: the sweep's config.
        compose: composes a job's config.
        launcher: executes jobs.

    Raises:
        UserError: if an arm does not exist or cannot be composed; nothing has started then.
        SweepUnfinishedError: if a run failed or was interrupted.
    """
    if not 1 <= seeds <= SEEDS:
        raise UserError(f"hydra.sweeper.seeds: expected 1 to {SEEDS}, got {seeds}")
    if any(word.startswith("seed=") for word in arguments):
        raise UserError("seeds are numbered from 0: hydra.sweeper.seeds says how many")
    base = compose(arguments)
    experiment = experiment_name(base)
    arms = read_arms(OmegaConf.to_container(base.arms, resolve=True))  # type: ignore[arg-type]
    if not arms:
        raise UserError(f"the experiment {experiment} has no arms")
    chosen = choose_arms(wanted, arms)
    planned = plan_arms(arguments, chosen, compose)
    runs = plan_runs(experiment, arguments, planned, seeds)
    jobs = {
        run.directory: Job(run.overrides, f"{run.arm} seed {run.seed}", run.directory, base.force)
        for run in runs
    }
    one_by_one = config.hydra.launcher._target_ == BASIC_LAUNCHER
    workers = 1 if one_by_one else config.hydra.launcher.get("n_jobs", -1)
    workers = available_cores() if workers < 1 else workers
    with Board(runs, workers, seconds_per_arm(Path(base.outputs), experiment, base.scale)) as board:
        outcomes, returns = run_jobs(list(jobs.values()), launcher, config, compose, board.say)
    summarize(outcomes, len(jobs))
    return returns
