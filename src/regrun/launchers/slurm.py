"""Executes runs as jobs of a Slurm cluster, through submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn

from regrun.console import OUT
from regrun.errors import UserError, one_line
from regrun.launchers.task import Resources, Task, lost
from regrun.records.record import Status
from regrun.runs.job import Outcome
from regrun.runs.run import STOP

SOONEST, LATEST = 1.0, 30.0  # seconds between queue checks, which grow to spare the scheduler
LOOKS = 3  # checks without a trace of a job before it counts as lost: shared files lag behind
PATIENCE = 90.0  # seconds for cancelled runs to save their state
NEVER = (
    "PartitionConfig",
    "PartitionTimeLimit",
    "PartitionNodeLimit",
    "BadConstraints",
    "InvalidAccount",
    "InvalidQOS",
)
SUBMISSIONS = 5  # refused in a row, while no job of ours exists


NumberedRun = tuple[int, list[str]]
Shares = Sequence[NumberedRun]


class SlurmTask:
    """A job: runs executed one after another, saved and requeued on a time limit or preemption.

    Slurm's warning arrives as submitit's signal, which asks the run to stop after a step, as Ctrl-C does. A
    run stopped by SIGTERM, which precedes a requeue or a cancellation, leaves no result, so the waiting
    process waits for the next attempt. That attempt finds earlier runs complete.

    For a run with several devices, each Slurm task is a process; all stop after the same step, and the first
    reports for all.

    Args:
        task: composes and executes a run.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, runs: Sequence[NumberedRun]) -> list[JobReturn]:
        """Execute the runs; returns results in order."""
        from submitit import JobEnvironment
        from submitit.slurm.slurm import SlurmJobEnvironment

        environment = JobEnvironment()
        os.environ |= {"REGRUN_JOB": environment.job_id, "REGRUN_LOG": str(environment.paths.stdout)}
        warning = getattr(signal, f"SIG{SlurmJobEnvironment.USR_SIG}")
        requeue: Any = signal.getsignal(warning)
        warned = False

        def heed(signum: int, frame: object) -> None:
            nonlocal warned
            warned = True
            STOP.heed(signum, frame)

        signal.signal(warning, heed)
        results = [self.task(overrides, number, environment.job_id) for number, overrides in runs]
        if STOP.asked and any(unfinished(result) for result in results):
            if environment.global_rank > 0:
                time.sleep(PATIENCE if warned else SOONEST)  # exiting here might end the first task
            elif warned:
                requeue(warning, None)  # and ends this process
            sys.exit(128 + signal.SIGTERM)
        return results

    def checkpoint(self, *arguments: Any) -> Any:
        """The job for submitit to requeue: the same, since records hold the progress."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments)


def unfinished(result: JobReturn) -> bool:
    """Whether a run was stopped or not started."""
    outcome = result._return_value
    return isinstance(outcome, Outcome) and outcome.status in (Status.INTERRUPTED, Status.ABSENT)


class Queue:
    """The jobs of this process on a Slurm cluster.

    Args:
        executor: returns submitit's executor for resources.
        at_once: maximum number of jobs per array.
        runs_per_job: maximum number of runs per job.
    """

    def __init__(self, executor: Callable[[Resources], Any], at_once: int, runs_per_job: int) -> None:
        if at_once < 1 or runs_per_job < 1:
            raise UserError(f"at_once and runs_per_job must be at least 1, got {at_once} and {runs_per_job}")
        self.executor = executor
        self.at_once = at_once
        self.runs_per_job = runs_per_job
        self.jobs: dict[str, tuple[Any, Shares]] = {}  # by id, with what each does
        self.missed: dict[str, int] = {}  # looks in which a job was nowhere

    def submit(self, task: SlurmTask, shares: Sequence[Shares], needs: Resources) -> None:
        """Submit jobs, each with its runs, as one array.

        Raises:
            submitit.core.utils.FailedJobError: if the scheduler refuses them.
        """
        found = self.executor(needs).map_array(task, shares)
        self.jobs |= {job.job_id: (job, runs) for job, runs in zip(found, shares, strict=True)}

    def ended(self) -> Iterator[tuple[int, JobReturn]]:
        """The runs whose jobs ended since the last call, with results or stand-ins.

        Raises:
            UserError: if a job can never start.
        """
        waiting = queued_jobs()
        for name, (job, _) in list(self.jobs.items()):
            if (found := result_of(job)) is not None:
                yield from self._take(name, found)
            elif waiting is not None and waiting.get(name) in NEVER:
                raise UserError(
                    f"Slurm will never start the job {name}: {waiting[name]} (see resources and "
                    "hydra.launcher.sbatch)"
                )
            elif waiting is not None and name not in waiting:
                self.missed[name] = self.missed.get(name, 0) + 1
                if self.missed[name] == LOOKS:
                    yield from self._take(name, f"the job {name} has no result; see {job.paths.stderr}")
            else:
                self.missed.pop(name, None)

    def _take(self, name: str, found: list[JobReturn] | str) -> Iterator[tuple[int, JobReturn]]:
        _, runs = self.jobs.pop(name)
        self.missed.pop(name, None)
        for place, (number, overrides) in enumerate(runs):
            yield number, lost(overrides, found) if isinstance(found, str) else found[place]

    def cancel(self) -> None:
        """Cancel all jobs; running runs save their state."""
        if self.jobs:
            subprocess.run(["scancel", *self.jobs], check=False, capture_output=True)


def executor_for(folder: str, needs: Resources, requeues: int, settings: Mapping[str, Any]) -> Any:
    """Submitit's executor for runs with equal needs.

    Raises:
        UserError: if submitit or Slurm's commands are missing, or a setting is unknown.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise UserError("hydra/launcher=slurm needs submitit: pip install 'regrun[slurm]'") from error
    try:
        executor = SlurmExecutor(folder, max_num_timeout=requeues)
        executor.update_parameters(
            job_name="regrun",
            nodes=needs.nodes,
            ntasks_per_node=needs.devices,
            cpus_per_task=needs.cpus,
            mem=f"{round(1024 * needs.memory_gb)}M",
            time=needs.minutes,
            **{**({"gpus_per_node": needs.gpus} if needs.gpus else {}), **settings},
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(one_line(error)) from error
    return executor


def queued_jobs() -> dict[str, str] | None:
    """Ids of the user's pending or running jobs, with pending reasons; ``None`` without an answer."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i %r"]
    answer = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if answer.returncode != 0:
        return None
    lines = (line.partition(" ") for line in answer.stdout.splitlines())
    return {job_id: reason for job_id, _, reason in lines}


def result_of(job: Any) -> list[JobReturn] | str | None:
    """A job's results, or the last line of its error; ``None`` if there are none yet."""
    from submitit.core.utils import pickle_load

    try:
        next(job.paths.folder.iterdir(), None)  # refreshes the listing of a shared file system
        kind, found = pickle_load(job.paths.result_pickle)
    except (FileNotFoundError, EOFError):
        return None
    return found if kind == "success" else str(found).strip().splitlines()[-1]


def run_on_slurm(
    task: SlurmTask, runs: Sequence[tuple[list[str], Resources]], queue: Queue, first: int
) -> list[JobReturn]:
    """Execute all runs on the cluster; returns results in order, with stand-ins for lost runs.

    Args:
        task: executes a run.
        runs: overrides and needs of each run.
        queue: submits jobs.
        first: number of the first run.

    Raises:
        UserError: if the scheduler refuses them.
    """
    results: dict[int, JobReturn] = {}
    words = {first + k: overrides for k, (overrides, _) in enumerate(runs)}
    todo = list(batches(runs, queue, first))
    pause, refusals = SOONEST, 0
    while todo or queue.jobs:
        if STOP.asked:
            queue.cancel()
            todo.clear()
            end = time.monotonic() + PATIENCE
            while queue.jobs and time.monotonic() < end:
                results |= queue.ended()
                time.sleep(SOONEST)
            break
        if todo:
            try:
                queue.submit(task, *todo[0])
                todo.pop(0)
                pause, refusals = SOONEST, 0
            except UserError:
                raise
            except Exception as error:  # submitit's is as wide
                refusals = 0 if queue.jobs else refusals + 1
                if refusals == SUBMISSIONS:
                    raise UserError(f"Slurm does not take the jobs: {str(error).strip()[-300:]}") from error
                if refusals == 1:
                    OUT.print("Slurm takes no more jobs for now; waiting", soft_wrap=True)
        try:
            before = len(results)
            results |= queue.ended()
            if len(results) > before:
                pause = SOONEST
        except UserError:
            queue.cancel()
            raise
        if todo or queue.jobs:
            sleep_unless_stopped(pause)
            pause = min(1.5 * pause, LATEST)
    for number, overrides in words.items():
        results.setdefault(number, lost(overrides, "cancelled"))
    return [results[number] for number in sorted(results)]


def batches(
    runs: Sequence[tuple[list[str], Resources]], queue: Queue, first: int
) -> Iterator[tuple[list[Shares], Resources]]:
    """Group runs by their needs into jobs, in arrays of limited size."""
    kinds: dict[Resources, list[NumberedRun]] = {}
    for number, (overrides, needs) in enumerate(runs, start=first):
        kinds.setdefault(needs, []).append((number, overrides))
    for needs, members in kinds.items():
        jobs = list(parts(members, queue.runs_per_job))
        for array in parts(jobs, queue.at_once):
            yield array, needs


def parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Split into consecutive parts of limited size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def sleep_unless_stopped(seconds: float) -> None:
    """Sleep, or return early on a stop request."""
    end = time.monotonic() + seconds
    while not STOP.asked and (left := end - time.monotonic()) > 0:
        time.sleep(min(0.5, left))
