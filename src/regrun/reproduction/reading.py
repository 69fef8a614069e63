"""The curves in the records of a reproduction, on which claims are judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regrun.claims import Bounds, NotRunError, Reduction
from regrun.claims.curves import Array, reduce_curve
from regrun.claims.expressions import DIVERGES
from regrun.records.damage import DamagedError
from regrun.records.divergence import divergence
from regrun.records.record import Status
from regrun.reproduction.plan import PlannedRun
from regrun.runs.provenance import changes

Curves = Mapping[str, tuple[Array, Array]]


class Reading:
    """The complete runs of a plan, each read once on first use.

    Args:
        runs: all runs, arms × seeds.
    """

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        self.runs = {(run.arm, run.seed): run for run in runs}
        self._curves: dict[tuple[str, int], Curves | str] = {}
        self._divergence: dict[tuple[str, int], str] = {}

    def __call__(self, leaf: Reduction, seed: int) -> Bounds:
        """The value of a reduction for a seed.

        A diverged run gives nan for values it does not end with, whatever it measured before.

        Raises:
            NotRunError: if the run or the metric is missing, with the reason.
        """
        arm, metric = leaf.curve.arm, leaf.curve.metric
        diverged = bool(self.divergence(arm, seed))
        if diverged and self.runs[arm, seed].record.status is Status.FAILED:  # ended by the loss check
            return Bounds.exact(1.0 if leaf.function == DIVERGES else math.nan)
        curves = self.curves(arm, seed)
        if metric not in curves:
            raise NotRunError(f"{arm} seed {seed} measured no {metric!r}")
        steps, values = curves[metric]
        if diverged and leaf.function != DIVERGES and len(values) and not math.isfinite(values[-1]):
            return Bounds.exact(math.nan)
        return reduce_curve(leaf.function, leaf.arguments, steps, values)

    def divergence(self, arm: str, seed: int) -> str:
        """How a run diverged, in words; empty if it did not, or cannot be read."""
        key = (arm, seed)
        if key not in self._divergence:
            run = self.runs.get(key)
            self._divergence[key] = divergence(run.record) if run is not None and is_own(run) else ""
        return self._divergence[key]

    def diverged(self) -> dict[str, list[int]]:
        """The seeds whose runs diverged, for each arm that has any."""
        found: dict[str, list[int]] = {}
        for arm, seed in self.runs:
            if self.divergence(arm, seed):
                found.setdefault(arm, []).append(seed)
        return found

    def curves(self, arm: str, seed: int) -> Curves:
        """``(steps, values)`` of every metric of a complete run.

        Raises:
            NotRunError: if the run is not complete, or its record was changed.
        """
        key = (arm, seed)
        if key not in self._curves:
            self._curves[key] = self._read(arm, seed)
        found = self._curves[key]
        if isinstance(found, str):
            raise NotRunError(found)
        return found

    def complete(self) -> list[PlannedRun]:
        """The runs that can be judged."""
        return [run for (arm, seed), run in self.runs.items() if self.is_complete(arm, seed)]

    def is_complete(self, arm: str, seed: int) -> bool:
        """Whether a run can be judged."""
        try:
            self.curves(arm, seed)
        except NotRunError:
            return False
        return True

    def mixed(self) -> list[tuple[PlannedRun, str]]:
        """The complete runs computed by more than one version of the code, with the changes."""
        found = {run.directory: run for run in self.runs.values() if run.record.status is Status.COMPLETE}
        lines = [(run, changes(run.record.manifest().get("computed_by", []))) for run in found.values()]
        return [(run, "; ".join(changed)) for run, changed in lines if changed]

    def damaged(self) -> list[str]:
        """Changed or damaged records, one line each."""
        lines = []
        for run in {run.directory: run for run in self.runs.values()}.values():
            if is_edited(run):
                lines.append(f"{run.directory} was changed after it was completed; remove it to run it again")
            elif run.record.status is Status.DAMAGED:
                try:
                    run.record.check()
                except DamagedError as error:
                    lines.append(str(error))
        return lines

    def _read(self, arm: str, seed: int) -> Curves | str:
        run = self.runs.get((arm, seed))
        if run is None:
            return f"{arm} seed {seed} was not asked for"
        record = run.record
        if (status := record.status) is not Status.COMPLETE:
            return f"{arm} seed {seed} is {'not there' if status is Status.ABSENT else status.value}"
        if is_edited(run):
            return f"{run.directory} was changed after it was completed"
        curves = {
            name: (np.asarray(steps, float), np.asarray(values, float))
            for name, (steps, values) in record.curves().items()
        }
        last = np.asarray([record.result()["last_step"]], float)
        for name, value in record.final_metrics().items():
            if name not in curves:  # measured once, at the end
                curves[name] = (last, np.asarray([value], float))
        return curves


def is_own(run: PlannedRun) -> bool:
    """Whether a record belongs to a run; false if it is damaged."""
    try:
        return bool(run.record.manifest().get("identity", run.identity) == run.identity)
    except DamagedError:
        return False


def is_edited(run: PlannedRun) -> bool:
    """Whether a complete record was edited, or belongs to another run."""
    record = run.record
    if record.status is not Status.COMPLETE:
        return False
    return not record.is_intact() or record.result().get("identity") != run.identity


def final_metrics(reading: Reading, run: PlannedRun) -> dict[str, float]:
    """The last value of each metric of a run, without parts (``name/...``)."""
    curves = reading.curves(run.arm, run.seed)
    return {
        name: float(values[-1]) for name, (_, values) in curves.items() if "/" not in name and len(values)
    }


def manifests(runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
    """The manifest of each run."""
    return [run.record.manifest() for run in runs]
