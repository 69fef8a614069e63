"""Executes one run of a sweep in any process that sees the same files."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from regrun.errors import UserError
from regrun.records.record import Status
from regrun.runs.job import Outcome
from regrun.runs.run import STOP
from regrun.sweeps.composer import Composer

_COMPOSERS: dict[str, Composer] = {}  # of the current sweep


@dataclass
class Task:
    """Composes the config of a run and executes it.

    A process that executes many runs of a sweep caches what their configs share.

    Attributes:
        sweep: identifier of the sweep.
        hydra_context: context with the config loader.
        function: the function that Hydra calls.
        config: the sweep's config.
        singletons: Hydra's own state.
    """

    sweep: str
    hydra_context: HydraContext
    function: TaskFunction
    config: DictConfig
    singletons: dict[Any, Any]

    def __call__(self, overrides: Sequence[str], number: int, job_id: str) -> JobReturn:
        """Execute a run.

        Args:
            overrides: the run's overrides.
            number: the run's number in its sweep.
            job_id: name of the job on its machine.
        """
        Singleton.set_state(self.singletons)
        setup_globals()
        if STOP.requested:
            return ended(overrides, Status.ABSENT, "not started")
        if self.sweep not in _COMPOSERS:
            _COMPOSERS.clear()
            _COMPOSERS[self.sweep] = Composer(self.hydra_context.config_loader, self.config)
        config = _COMPOSERS[self.sweep](overrides)
        with open_dict(config):
            config.hydra.job.id = job_id
            config.hydra.job.num = number
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def make_task(hydra_context: HydraContext, function: TaskFunction, config: DictConfig) -> Task:
    """The task of a sweep, from the arguments of a Hydra launcher."""
    return Task(secrets.token_hex(8), hydra_context, function, config, Singleton.get_state())


def lost(overrides: Sequence[str], reason: str) -> JobReturn:
    """A stand-in for the result of a run whose process ended without one."""
    return ended(overrides, Status.DIED, reason)


def ended(overrides: Sequence[str], status: Status, reason: str) -> JobReturn:
    """A stand-in result."""
    result = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    result.return_value = Outcome(" ".join(overrides), status, Path(), 1, reason)
    return result


@dataclass(frozen=True)
class Resources:
    """The resources that a run needs.

    Attributes:
        nodes: number of machines.
        devices: processes per machine.
        cpus: cores per process.
        gpus: GPUs per machine.
        memory_gb: memory per machine, in GB.
        minutes: time limit, after which a run is saved and requeued.
    """

    nodes: int
    devices: int
    cpus: int
    gpus: int
    memory_gb: float
    minutes: int

    @property
    def memory_bytes(self) -> int:
        """The cores per machine."""
        return round(self.memory_gb * 2**30)


def resources_of(config: DictConfig) -> Resources:
    """The resources in a run's config; defaults follow from its trainer.

    Raises:
        UserError: if a number is not positive.
    """
    asked: Any = OmegaConf.to_container(config.resources, resolve=True)
    trainer: Any = OmegaConf.to_container(config.trainer, resolve=True)
    devices = trainer["devices"] if isinstance(trainer["devices"], int) else 1
    on_gpu = trainer["accelerator"] in ("gpu", "cuda")
    gpus = asked["gpus"] if asked["gpus"] is not None else devices * on_gpu
    cpus = asked["cpus"] if asked["cpus"] is not None else trainer["threads"] or 1
    found = Resources(int(trainer["num_nodes"]), devices, cpus, gpus, asked["memory_gb"], asked["minutes"])
    if gpus < 0 or min(found.nodes, devices, cpus, found.memory_gb, found.minutes) <= 0:
        raise UserError(f"resources must be above 0 (gpus at least 0), got {asked}")
    return found


def packs(config: Mapping[str, Any]) -> bool:
    """Whether a run shares the cores with others by default.

    On a GPU, runs are stacked or run alone.
    """
    return config["trainer"]["accelerator"] == "cpu" and config["engine"] != "vmap"
