"""The progress of each run of a reproduction, and the estimated time left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from regrun.records.damage import DamagedError
from regrun.records.divergence import divergence
from regrun.records.record import Record, Status
from regrun.reproduction.plan import PlannedRun


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        status: status of its record.
        step: the last evaluated step, -1 before the first.
        steps: total number of steps, 0 if unknown.
        seconds: time taken, as of the last save.
        pid: the last process that wrote it.
        diverged: whether it has diverged.
    """

    status: Status
    step: int = -1
    steps: int = 0
    seconds: float = 0.0
    pid: int = 0
    diverged: bool = False

    @property
    def fraction(self) -> float:
        """The completed fraction."""
        if self.status is Status.COMPLETE:
            return 1.0
        return min(1.0, max(0, self.step) / self.steps) if self.steps else 0.0


def progress_of(record: Record) -> Progress:
    """Read a run's progress from its record.

    It does not try the record's lock, so a run that died looks running.
    """
    try:
        manifest = record.manifest()
        if is_complete := record.result_file.exists():
            record.result()
    except DamagedError:
        return Progress(Status.DAMAGED)
    if not manifest:
        return Progress(Status.DAMAGED if is_complete else Status.ABSENT)
    status = Status.COMPLETE if is_complete else Status(manifest["status"])
    if status is Status.COMPLETE and not is_complete:
        status = Status.RUNNING  # about to complete, or killed just then
    return Progress(
        status,
        record.last_step(),
        int(manifest["steps"]),
        float(manifest["wall_seconds"]),
        int(manifest["pid"]),
        bool(divergence(record)) if status in (Status.COMPLETE, Status.FAILED) else False,
    )


def seconds_per_run(
    runs: Sequence[PlannedRun], progress: Mapping[PlannedRun, Progress], earlier: Mapping[str, float]
) -> dict[str, float]:
    """Known seconds per run of each arm.

    Args:
        runs: all runs.
        progress: progress of each run.
        earlier: seconds per run from an earlier reproduction, for arms without a complete run.
    """
    known: dict[str, list[float]] = {}
    for run in runs:
        if progress[run].status is Status.COMPLETE and progress[run].seconds:
            known.setdefault(run.arm, []).append(progress[run].seconds)
    means = {arm: sum(seconds) / len(seconds) for arm, seconds in known.items()}
    return {**earlier, **means}


def seconds_left(
    runs: Iterable[PlannedRun],
    progress: Mapping[PlannedRun, Progress],
    per_run: Mapping[str, float],
    workers: int,
) -> float | None:
    """The estimated time left with this number of workers, in seconds; ``None`` if nothing is known.

    Arms without an estimate are assumed to take the mean of the others.
    """
    left = [run for run in runs if progress[run].status is not Status.COMPLETE]
    if not left:
        return 0.0
    if not per_run:
        return None
    typical = sum(per_run.values()) / len(per_run)
    work = [per_run.get(run.arm, typical) * (1 - progress[run].fraction) for run in left]
    return max(sum(work) / max(1, min(workers, len(left))), max(work))


def duration(seconds: float) -> str:
    """Seconds in readable form."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
