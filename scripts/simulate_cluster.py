"""What a large campaign of runs asks of a cluster, by simulation: scheduler, file system, W&B.

    python scripts/simulate_cluster.py --runs 100000 --gpus 1000

Runs have lognormal durations. A machine dies, or a run is preempted, at random moments; the run goes on from
its last checkpoint once Slurm has found it another place. What a run costs in files and requests was counted
on real ones (see ``docs/scaling.md``); the scheduler is as ``hydra/launcher=slurm`` uses it.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from dataclasses import dataclass

FILES_OF_A_RECORD = 7  # config, manifest, metrics, checkpoint, result, lock, and the folder
FILES_OF_A_JOB = 5  # what was submitted, what came back, two logs, and the folder
RECORD_OPERATIONS = 61  # opens, stats and renames in the record of a run
CODE_OPERATIONS_OF_A_RUN = 1_800  # in the environment: configs, mostly
CODE_OPERATIONS_OF_A_START = 68_000  # in the environment: importing torch and the rest
START = 8.0  # seconds to import, on an idle node


@dataclass
class Campaign:
    """What is to be run, on what.

    Attributes:
        runs: how many.
        gpus: each does one run at a time.
        minutes: median of a run.
        spread: standard deviation of its logarithm.
        losses: of a GPU's place, each hour.
        requeue: seconds from a loss to the next start.
        checkpoint: seconds between saved states.
        runs_per_job: one after another in a process.
        starts_per_second: most jobs that the scheduler starts.
    """

    runs: int = 100_000
    gpus: int = 1000
    minutes: float = 20.0
    spread: float = 0.7
    losses: float = 0.02
    requeue: float = 60.0
    checkpoint: float = 60.0
    runs_per_job: int = 1
    starts_per_second: float = 2.0


@dataclass
class Outcome:
    """How it went.

    Attributes:
        hours: until the last run ended.
        ideal: if nothing was lost and nobody waited.
        repeated: share of computed time that was lost and done again.
        starting: share of GPU time spent importing or waiting for the scheduler.
        starts: of processes.
        busiest: starts in the busiest minute.
    """

    hours: float
    ideal: float
    repeated: float
    starting: float
    starts: int
    busiest: int


def simulate(campaign: Campaign, seed: int = 0) -> Outcome:
    """Play it through, job by job."""
    dice = random.Random(seed)
    jobs = [
        sum(
            60 * campaign.minutes * math.exp(dice.gauss(0, campaign.spread))
            for _ in range(min(campaign.runs_per_job, campaign.runs - first))
        )
        for first in range(0, campaign.runs, campaign.runs_per_job)
    ]
    waiting = [(0.0, number, left) for number, left in enumerate(jobs)]
    heapq.heapify(waiting)
    free = [0.0] * campaign.gpus
    next_start = end = repeated = starting = 0.0
    minutes: dict[int, int] = {}
    starts = 0
    while waiting:
        ready, number, left = heapq.heappop(waiting)
        place = heapq.heappop(free)
        begin = max(ready, place, next_start)
        next_start = begin + 1 / campaign.starts_per_second
        starts += 1
        minutes[int(begin // 60)] = minutes.get(int(begin // 60), 0) + 1
        starting += begin - max(ready, place) + START
        until_loss = dice.expovariate(campaign.losses / 3600) if campaign.losses else math.inf
        if until_loss >= START + left:
            end = max(end, begin + START + left)
            heapq.heappush(free, begin + START + left)
            continue
        done = max(0.0, until_loss - START)
        kept = done - done % campaign.checkpoint
        repeated += done - kept
        heapq.heappush(free, begin + until_loss)
        heapq.heappush(waiting, (begin + until_loss + campaign.requeue, number, left - kept))
    total = sum(jobs)
    return Outcome(
        end / 3600,
        total / campaign.gpus / 3600,
        repeated / total,
        starting / (campaign.gpus * end),
        starts,
        max(minutes.values()),
    )


def main() -> None:
    """Print a table: one column for each number of runs to a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, kind in {"runs": int, "gpus": int, "minutes": float, "losses": float}.items():
        parser.add_argument(f"--{name}", type=kind, default=getattr(Campaign, name))
    parser.add_argument("--starts-per-second", type=float, default=Campaign.starts_per_second)
    options = parser.parse_args()
    print(
        "runs/job   hours  ideal  waiting  repeated  starts  busiest minute    files  "
        "record ops/s  code ops/s  W&B runs/s"
    )
    for runs_per_job in (1, 5, 20, 100):
        campaign = Campaign(**vars(options), runs_per_job=runs_per_job)
        found = simulate(campaign)
        files = campaign.runs * FILES_OF_A_RECORD + campaign.runs / runs_per_job * FILES_OF_A_JOB
        seconds = 3600 * found.hours
        code = campaign.runs * CODE_OPERATIONS_OF_A_RUN + found.starts * CODE_OPERATIONS_OF_A_START
        print(
            f"{runs_per_job:8}  {found.hours:6.1f} {found.ideal:6.1f}  {found.starting:7.1%}"
            f"  {found.repeated:8.2%}  {found.starts:6}  {found.busiest:14}  {files:7.0f}"
            f"  {campaign.runs * RECORD_OPERATIONS / seconds:12.0f}  {code / seconds:10.0f}"
            f"  {campaign.runs / seconds:10.1f}"
        )


if __name__ == "__main__":
    main()
