"""regrun's sweepers, where Hydra looks for plugins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class RegrunSweeper(BasicSweeper):
    """Hydra's basic sweeper, except that a sweep survives failures and skips what is complete."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the product of all sweeps on the command line, less what is complete."""
        from regrun.sweeps.composer import Composer
        from regrun.sweeps.jobs import resolve_job
        from regrun.sweeps.sweep import run_jobs, summarize

        assert self.config is not None
        assert self.launcher is not None
        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        overrides = OverridesParser.create(loader).parse_overrides([*self._parse_config(), *arguments])
        jobs = itertools.chain.from_iterable(self.split_arguments(overrides, None))
        compose = Composer(loader, self.config)
        resolved = [resolve_job(job, compose) for job in jobs]
        outcomes, returns = run_jobs(resolved, self.launcher, self.config, compose)
        summarize(outcomes, len({job.directory for job in resolved}))
        return returns


class _Planned(Sweeper):
    """A sweep whose jobs are known from elsewhere than the command line."""

    config: DictConfig
    launcher: Launcher
    hydra_context: HydraContext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra gives a sweeper."""
        from hydra.core.plugins import Plugins

        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )


class ArmsSweeper(_Planned):
    """All arms × seeds of an experiment, less what is complete.

    Args:
        arms: names; ``None`` for all.
        seeds: how many, from 0.
    """

    def __init__(self, arms: Sequence[str] | None = None, seeds: int = 3) -> None:
        self.arms = arms
        self.seeds = seeds

    def sweep(self, arguments: list[str]) -> Any:
        """Run what is missing of the arms × seeds, with one live table."""
        from regrun.reproduction.arms_sweep import run_arms
        from regrun.sweeps.composer import Composer

        compose = Composer(self.hydra_context.config_loader, self.config)
        return run_arms(arguments, self.arms, self.seeds, self.config, compose, self.launcher)


class JobsSweeper(_Planned):
    """Jobs that are given one by one, less what is complete.

    Args:
        jobs: the overrides of each.
        labels: what each is called, as many.
    """

    def __init__(self, jobs: Sequence[Sequence[str]] = (), labels: Sequence[str] = ()) -> None:
        self.jobs = jobs
        self.labels = labels

    def sweep(self, arguments: list[str]) -> Any:
        """Run what is missing."""
        from regrun.sweeps.composer import Composer
        from regrun.sweeps.jobs import resolve_job
        from regrun.sweeps.sweep import run_jobs, summarize

        compose = Composer(self.hydra_context.config_loader, self.config)
        resolved = [
            replace(resolve_job([*arguments, *job], compose), label=label)
            for job, label in zip(self.jobs, self.labels, strict=True)
        ]
        outcomes, returns = run_jobs(resolved, self.launcher, self.config, compose)
        summarize(outcomes, len({job.directory for job in resolved}))
        return returns
