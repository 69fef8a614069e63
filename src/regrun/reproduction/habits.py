"""What an experiment does in seconds, by which later code can be told to do the same.

A verdict takes minutes to hours of runs, and a change of any file that they share makes it look old.
Whether it has changed anything shows in smoke runs of every arm: they have the same figures, or they do not.
What only large runs do, such as evaluating in several batches, they cannot show.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping

from regrun.claims.expressions import DIVERGES
from regrun.config.identity import settings
from regrun.errors import UserError
from regrun.records.divergence import divergence
from regrun.records.record import Status
from regrun.reproduction.entry import Habits
from regrun.reproduction.experiment import Experiment, load_experiment
from regrun.runs.environment import available_cores

Figures = Mapping[str, Mapping[str, float]]
"""Final metrics of a run, by arm."""

TOLERANCE = 1e-4  # relative: another processor adds in another order


def habits_of(experiment: Experiment) -> Habits:
    """What an experiment does today.

    Raises:
        UserError: if a smoke run fails.
    """
    first, second = (smoke_figures(experiment) for _ in range(2))
    chosen = {name: settings(arm.config) for name, arm in experiment.planned.items()}
    shared = set.intersection(*chosen.values())
    return Habits(
        smoke=repeatable(first, second),
        shared=sorted(shared),
        own={name: sorted(found - shared) for name, found in chosen.items()},
    )


def smoke_figures(experiment: Experiment) -> dict[str, dict[str, float]]:
    """The final metrics of every arm at smoke scale with seed 0.

    Raises:
        UserError: if a run fails; one that diverges has a figure that says so.
    """
    from regrun.sweeps.command import run_hydra

    place = [word for word in experiment.overrides if word.startswith("data_dir=")]
    with tempfile.TemporaryDirectory(prefix="regrun-smoke-") as folder:
        overrides = ["logger=csv", f"outputs={folder}", *place]
        small = load_experiment(experiment.name, "smoke", overrides, experiment.config_dir)
        workers = ["hydra/launcher=packed", f"hydra.launcher.n_jobs={available_cores()}"]
        sweeper = ["hydra/sweeper=arms", "hydra.sweeper.seeds=1", "trainer.threads=1"]
        own = ["--config-dir", small.config_dir] if small.config_dir else []
        run_hydra(["-m", *own, *small.base, *workers, *sweeper])
        found = {}
        for run in small.runs(1):
            if run.record.status is Status.COMPLETE:
                metrics = run.record.final_metrics()
                found[run.arm] = {key: float(f"{value:.6g}") for key, value in metrics.items()}
            elif divergence(run.record):
                found[run.arm] = {DIVERGES: 1.0}
            else:
                raise UserError(f"the smoke run of the arm {run.arm} did not complete")
        return found


def repeatable(first: Figures, second: Figures) -> dict[str, dict[str, float]]:
    """The figures that two times the same runs agree on: not times, say."""
    return {
        arm: {key: value for key, value in figures.items() if same(value, second[arm].get(key, math.nan))}
        for arm, figures in first.items()
    }


def differences(before: Figures, now: Figures) -> list[str]:
    """What smoke runs do not say any more, in one line each."""
    lines = [f"the arm {arm} is not there any more at smoke scale" for arm in before if arm not in now]
    for arm, figures in before.items():
        for key, value in figures.items() if arm in now else ():
            today = now[arm].get(key)
            if today is None or not same(value, today):
                lines.append(f"{arm}: {key} was {value:g} and is {'gone' if today is None else f'{today:g}'}")
    return lines


def same(a: float, b: float) -> bool:
    """Whether two figures are the same but for rounding."""
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-7)
