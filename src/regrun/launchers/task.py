"""One run of a sweep, as any process that sees the same files can do it."""

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

_COMPOSERS: dict[str, Composer] = {}  # of the sweep that this process works for


@dataclass
class Task:
    """Composes the config of a run and executes it.

    A process that does many runs of a sweep keeps what their configs have in common.

    Attributes:
        sweep: identifies the sweep.
        hydra_context: holds the config loader.
        function: what Hydra calls.
        config: the sweep's.
        singletons: Hydra's own state.
    """

    sweep: str
    hydra_context: HydraContext
    function: TaskFunction
    config: DictConfig
    singletons: dict[Any, Any]

    def __call__(self, overrides: Sequence[str], number: int, job_id: str) -> JobReturn:
        """Do it.

        Args:
            overrides: of the run.
            number: of the run in its sweep.
            job_id: what the machine that does it calls it.
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
    """The task of a sweep's runs, from what Hydra gives a launcher."""
    return Task(secrets.token_hex(8), hydra_context, function, config, Singleton.get_state())


def lost(overrides: Sequence[str], reason: str) -> JobReturn:
    """What stands for the result of a run whose process ended without one."""
    return ended(overrides, Status.DIED, reason)


def ended(overrides: Sequence[str], status: Status, reason: str) -> JobReturn:
    """A result of a run that has none."""
    result = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    result.return_value = Outcome(" ".join(overrides), status, Path(), 1, reason)
    return result


@dataclass(frozen=True)
class Resources:
    """What a run needs of a cluster.

    Attributes:
        nodes: machines.
        devices: processes on each machine.
        cpus: cores of each process.
        gpus: GPUs of each machine.
        memory_gb: of each machine.
        minutes: after which a run is saved and queued again.
    """

    nodes: int
    devices: int
    cpus: int
    gpus: int
    memory_gb: float
    minutes: int

    @property
    def memory_bytes(self) -> int:
        """Of each machine."""
        return round(self.memory_gb * 2**30)


def resources_of(config: DictConfig) -> Resources:
    """What a run's config asks for; what it leaves open follows from its trainer.

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
    """Whether a run is to share the cores with others, unless one says otherwise.

    On a GPU runs are stacked, or have it for themselves.
    """
    return config["trainer"]["accelerator"] == "cpu" and config["engine"] != "vmap"
