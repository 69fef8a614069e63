"""How the flow and its solver change along time."""

from __future__ import annotations

import math

from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.models.dynamics import solution_of
from regrun.probes.base import Probe, ProbeError, Trial
from regrun.probes.solver import need_solution


class SolverProfile(Probe):
    """A profile of the solver's steps on the first batch of the test split, at evenly spaced times.

    Parts are named by the time: ``step_size/0.25``. ``step_size``: of the step there. ``local_error``: its
    estimate in units of the tolerance. ``local_stiffness``: its estimate. ``flow_speed``: how far the step
    moves the state, root mean square, per unit of time. ``flow_distance``: of the state from the initial one.

    Args:
        points: number of times.
    """

    metrics = ("step_size", "local_error", "local_stiffness", "flow_speed", "flow_distance")
    split = "test"

    def __init__(self, points: int = 20) -> None:
        super().__init__()
        if points < 2:
            raise ValueError(f"points must be at least 2, got {points}")
        self.points = points
        self.profile: dict[str, float] = {}

    def attach(self, task: Task, trial: Trial) -> None:
        if not need_solution(trial).segments:
            raise ProbeError("it needs one step size for the whole batch: per_sample=false")

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        """Look at the first solve."""
        if self.profile:
            return
        solution = solution_of(output.aux)
        segments = solution.segments
        ends = [*(segment.y for segment in segments[1:]), solution.last]
        start = segments[0].y
        begin, end = segments[0].t, segments[-1].t + segments[-1].h
        seen = solution.statistics
        for k in range(self.points):
            t = begin + (end - begin) * (k + 0.5) / self.points
            segment = solution.segment(t)
            place = segments.index(segment)
            moved, away = ends[place] - segment.y, ends[place] - start
            row = {
                "step_size": segment.h,
                "local_error": float(seen.error[place]),
                "local_stiffness": math.nan if seen.stiffness is None else float(seen.stiffness[place]),
                "flow_speed": float(moved.square().mean().sqrt()) / abs(segment.h),
                "flow_distance": float(away.square().mean().sqrt()),
            }
            self.profile |= {f"{name}/{t:.4g}": value for name, value in row.items()}

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        result: dict[str, float | Tensor] = dict(self.profile)
        self.profile.clear()
        return result
