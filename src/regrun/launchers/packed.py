"""Packs runs onto this machine's cores, in processes that end with their parent."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hydra.core.utils import JobReturn
from joblib import Parallel, delayed
from joblib.parallel import LokyBackend

from regrun.launchers.task import Task
from regrun.launchers.trial import choose_threads, steps_per_second
from regrun.runs.environment import available_cores
from regrun.runs.job import follow


class FollowingBackend(LokyBackend):
    """joblib's workers, which watch their launcher from the start, before their first job."""

    def configure(self, *args: Any, **kwargs: Any) -> Any:
        """Start the workers; returns their number."""
        return super().configure(*args, initializer=follow, initargs=(os.getpid(),), **kwargs)


def run_packed(
    task: Task, runs: Sequence[Sequence[str]], config: Mapping[str, Any], workers: int, first: int
) -> list[JobReturn]:
    """Execute all runs; returns results in order.

    Args:
        task: executes a run.
        runs: overrides of each run.
        config: resolved config of the first run.
        workers: number of parallel runs; -1 measures the fastest number, with as many threads each, unless
            the trainer sets a number of threads.
        first: number of the first run.
    """
    cores, threads = available_cores(), config["trainer"]["threads"]
    shared: list[str] = []
    if workers < 1 and threads:
        workers = max(1, cores // int(threads))
    elif workers < 1:
        workers, threads = choose_threads(config, len(runs), cores, partial(side_by_side, cores))
        shared = [f"trainer.threads={threads}"]
    calls = (delayed(task)([*words, *shared], first + k, f"job {first + k}") for k, words in enumerate(runs))
    return in_processes(calls, workers)


def side_by_side(cores: int, config: Mapping[str, Any], workers: int, threads: int) -> float:
    """Total steps per second of this many parallel runs; see ``choose_threads``.

    The processes are those of the later runs, even if fewer work at a time.
    """
    speeds = in_processes((delayed(steps_per_second)(config, threads) for _ in range(workers)), cores)
    return sum(speeds) if all(speeds) else 0.0


def in_processes(calls: Any, workers: int) -> list[Any]:
    """The results of calls, in order."""
    # One call at a time per worker: runs take seconds to hours, and none should queue behind another.
    return list(Parallel(n_jobs=workers, backend=FollowingBackend(), batch_size=1)(calls))
