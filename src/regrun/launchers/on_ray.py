"""Executes runs as tasks of a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from regrun.config.whitelist import read_trust
from regrun.errors import UserError, one_line
from regrun.launchers.task import Resources, Task, ended, lost
from regrun.records.record import Status
from regrun.runs.environment import available_cores
from regrun.runs.run import STOP

LOOK_EVERY = 0.5  # seconds between checks for a stop
PATIENCE = 90.0  # seconds for cancelled runs to save their state


def run_on_ray(
    task: Task, runs: Sequence[tuple[list[str], Resources]], address: str | None, retries: int, first: int
) -> list[JobReturn]:
    """Execute all runs; returns results in order, with stand-ins for lost runs.

    Args:
        task: executes a run.
        runs: overrides and needs of each run; memory is requested from a cluster only.
        address: address of a cluster; ``None`` starts one here, which ends with this process.
        retries: how often Ray restarts a run whose process or machine died; it resumes from its checkpoint.
        first: number of the first run.

    Raises:
        UserError: if Ray is missing, the cluster does not exist, or none of its machines is large enough.
    """
    ray = connected(address)
    for needs, overrides in {needs: overrides for overrides, needs in runs}.items():
        if needs.nodes * needs.devices > 1:
            raise UserError(
                f"hydra/launcher=ray runs one process for each run, and {' '.join(overrides)} asks for "
                f"{needs.nodes * needs.devices}; hydra/launcher=slurm runs more"
            )
        check_size(ray, needs, address is not None)

    folder, variables = Path.cwd(), own_variables()
    path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}

    # A worker executes runs one after another and keeps its imports.
    @ray.remote
    def do(overrides: list[str], number: int) -> JobReturn:
        try:
            os.chdir(folder)
        except OSError:
            reason = f"{socket.gethostname()} does not see {folder}: the machines of a cluster must share it"
            return ended(overrides, Status.FAILED, reason)
        os.environ.update(variables)
        read_trust()
        return task(overrides, number, ray.get_runtime_context().get_task_id())

    references = [
        do.options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=needs.memory_bytes if address else None,
            max_retries=retries,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(needs.cpus), **path}},
        ).remote(overrides, first + k)
        for k, (overrides, needs) in enumerate(runs)
    ]
    pending = list(references)
    while pending and not STOP.asked:
        _, pending = ray.wait(pending, num_returns=len(pending), timeout=LOOK_EVERY)
    if pending:
        for reference in pending:
            ray.cancel(reference)
        ray.wait(pending, num_returns=len(pending), timeout=PATIENCE)
    return [result_of(ray, reference, runs[k][0]) for k, reference in enumerate(references)]


def own_variables() -> dict[str, str]:
    """Environment variables that affect a run, for the cluster's processes."""
    decisive = (name for name in os.environ if name.startswith(("REGRUN_", "WANDB_")))
    return {name: os.environ[name] for name in decisive if name != "WANDB_SERVICE"}  # this process's own


def connected(address: str | None) -> Any:
    """Ray, connected to a cluster.

    Raises:
        UserError: if Ray is missing, or the cluster does not exist.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the default of its next version
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("hydra/launcher=ray needs Ray: pip install 'regrun[ray]'") from error
    if not ray.is_initialized():
        if address:
            check_answers(address)
        here: dict[str, Any] = {} if address else {"num_cpus": available_cores(), "include_dashboard": False}
        try:
            ray.init(address=address or "local", configure_logging=False, log_to_driver=False, **here)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray cluster at {address}: {one_line(error)}") from error
    return ray


def check_answers(address: str, seconds: float = 5) -> None:
    """Raise ``UserError`` if nothing listens at ``host:port``; Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host, int(port)), seconds).close()
        except OSError as error:
            raise UserError(f"no Ray cluster at {address}: {one_line(error)}") from error


def check_size(ray: Any, needs: Resources, with_memory: bool) -> None:
    """Raise ``UserError`` if no machine can satisfy a run's needs; it would wait forever."""
    asked = {"CPU": needs.cpus, "GPU": needs.gpus} | ({"memory": needs.memory_bytes} if with_memory else {})
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(m.get(what, 0) >= n for what, n in asked.items()) for m in machines):
        words = f"{needs.cpus} CPU, {needs.gpus} GPU" + f", {needs.memory_gb} GB" * with_memory
        raise UserError(f"no machine of the Ray cluster has what a run asks for: {words}")


def result_of(ray: Any, reference: Any, overrides: list[str]) -> JobReturn:
    """A task's result, or a stand-in."""
    try:
        return ray.get(reference, timeout=0)
    except (ray.exceptions.RayError, TimeoutError) as error:
        return lost(overrides, one_line(error))
