"""regrun's launchers, where Hydra looks for plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class _Launcher(Launcher):
    """A launcher whose runs are done by other processes, which see the same files."""

    config: DictConfig
    function: TaskFunction
    hydra_context: HydraContext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra gives a launcher."""
        self.hydra_context = hydra_context
        self.function = task_function
        self.config = config

    def plan(self, job_overrides: Sequence[Sequence[str]]) -> list[tuple[list[str], Any]]:
        """Overrides of each run, and what it needs."""
        from regrun.launchers.task import resources_of
        from regrun.sweeps.composer import Composer

        compose = Composer(self.hydra_context.config_loader, self.config)
        return [(list(words), resources_of(compose(words))) for words in job_overrides]


class PackedLauncher(_Launcher):
    """Runs packed on the cores of this machine, in joblib's processes, each of which does many.

    Args:
        n_jobs: how many at a time; -1 for what a short trial finds fastest, the threads of each included.
    """

    def __init__(self, n_jobs: int = -1) -> None:
        self.n_jobs = n_jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; see ``regrun.launchers.packed``."""
        from regrun.config.composing import plain_config
        from regrun.launchers.packed import run_packed
        from regrun.launchers.task import make_task
        from regrun.sweeps.composer import Composer

        task = make_task(self.hydra_context, self.function, self.config)
        config = plain_config(Composer(self.hydra_context.config_loader, self.config)(job_overrides[0]))
        return run_packed(task, job_overrides, config, self.n_jobs, initial_job_idx)


class SlurmLauncher(_Launcher):
    """Runs as jobs of a Slurm cluster, through submitit; their logs lie in ``folder``.

    Args:
        folder: of scripts, results and logs of the jobs; on files that all machines share.
        at_once: most jobs in one array; the cluster's ``MaxArraySize`` less one.
        parallel: most jobs of an array that run at a time.
        runs_per_job: most runs that a job does, one after another; more where they are short.
        notice: seconds before the time limit at which a run is saved and queued again.
        requeues: how often a run may come to its time limit.
        sbatch: further parameters of submitit's ``SlurmExecutor``, such as ``partition`` and ``account``.
    """

    def __init__(
        self,
        folder: str,
        at_once: int,
        parallel: int,
        runs_per_job: int,
        notice: int,
        requeues: int,
        sbatch: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        self.at_once = at_once
        self.parallel = parallel
        self.runs_per_job = runs_per_job
        self.notice = notice
        self.requeues = requeues
        self.sbatch: dict[Any, Any] = OmegaConf.to_container(OmegaConf.create(dict(sbatch)))  # type: ignore[assignment]

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; see ``regrun.launchers.slurm``."""
        from regrun.launchers.slurm import Queue, SlurmTask, executor_for, run_on_slurm
        from regrun.launchers.task import make_task

        def executor(needs: Any) -> Any:
            settings = {"array_parallelism": self.parallel, "signal_delay_s": self.notice, **self.sbatch}
            return executor_for(self.folder, needs, self.requeues, settings)

        task = SlurmTask(make_task(self.hydra_context, self.function, self.config))
        queue = Queue(executor, self.at_once, self.runs_per_job)
        return run_on_slurm(task, self.plan(job_overrides), queue, initial_job_idx)


class RayLauncher(_Launcher):
    """Runs as tasks of a Ray cluster, or of one that is started here for them.

    Args:
        address: of a cluster (``auto``: the one this machine is part of); ``None`` starts one here.
        retries: how often a run is begun again when its process or its machine dies.
    """

    def __init__(self, address: str | None, retries: int) -> None:
        self.address = address
        self.retries = retries

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run them all; see ``regrun.launchers.on_ray``."""
        from regrun.launchers.on_ray import run_on_ray
        from regrun.launchers.task import make_task

        task = make_task(self.hydra_context, self.function, self.config)
        return run_on_ray(task, self.plan(job_overrides), self.address, self.retries, initial_job_idx)
