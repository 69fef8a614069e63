"""Smoke runs of an experiment, by which later code is shown to behave the same.

Changes to shared code do not call for repeating runs of hours. Smoke runs of every arm show whether a change
has an effect: their figures are the same, or not. They cannot show what only large runs do, such as
evaluating in several batches.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regrun.claims.expressions import DIVERGES
from regrun.config.identity import settings
from regrun.console import Display
from regrun.errors import UserError
from regrun.records.divergence import divergence
from regrun.records.record import Record
from regrun.reproduction.entry import Entry, Habits
from regrun.reproduction.experiment import Experiment, load_experiment
from regrun.reproduction.plan import PlannedArm
from regrun.runs.job import follow, how_it_ended, quiet_torch, threads
from regrun.runs.run import Run

Figures = Mapping[str, Mapping[str, float]]
"""Final metrics of a run, by arm."""
Words = tuple[str, tuple[str, ...], str | None]
"""An experiment's name, its overrides, and a folder of the user's own configs."""

TOLERANCE = 1e-4  # relative; processors add in different orders
X86 = ("x86_64", "AMD64")
# Variables that make libraries compute as on a processor without AVX512, if set at the start.
WITHOUT_AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def habits_of(experiment: Experiment) -> Habits:
    """The smoke figures of an experiment today, without those that depend on the processor.

    Raises:
        UserError: if a smoke run fails.
    """
    words = smoke_words(experiment)
    first, second = apart(words), apart(words, WITHOUT_AVX512 if platform.machine() in X86 else {})
    chosen = {name: settings(arm.config) for name, arm in experiment.planned.items()}
    shared = set.intersection(*chosen.values())
    return Habits(
        smoke=repeatable(first, second),
        shared=sorted(shared),
        own={name: sorted(found - shared) for name, found in chosen.items()},
    )


def changes_of_habits(
    entry: Entry, experiment: Experiment, figures_of: Callable[[Words], Figures]
) -> list[str]:
    """Differences in behaviour from an entry, or reasons why it cannot be compared, one line each.

    Args:
        entry: the experiment's entry.
        experiment: the experiment at the entry's scale.
        figures_of: ``smoke_figures_of``, or ``apart``.

    Raises:
        UserError: if a smoke run fails.
    """
    if entry.habits is None:
        return ["it has no figures of smoke runs: it was recorded before there were any"]
    if lines := [
        f"settings of the arm {name} have changed, or are gone"
        for name, arm in experiment.planned.items()
        if not entry.habits.settings(name) <= settings(arm.config)
    ]:
        return lines
    return differences(entry.habits.smoke, figures_of(smoke_words(experiment)))


def smoke_words(experiment: Experiment) -> Words:
    """The arguments of a smoke run: the experiment and where its data lie."""
    place = tuple(word for word in experiment.overrides if word.startswith("data_dir="))
    return experiment.name, place, experiment.config_dir


def apart(words: Words, environment: Mapping[str, str] | None = None) -> Figures:
    """``smoke_figures_of`` in a process of its own, with further environment variables."""
    (found,) = in_processes(smoke_figures_of, [words], environment=environment)
    return dict(found)


def smoke_figures_of(words: Words) -> Figures:
    """The final metrics of every arm at smoke scale; see ``smoke_figures``."""
    name, overrides, config_dir = words
    return smoke_figures(load_experiment(name, "smoke", overrides, config_dir))


def smoke_figures(experiment: Experiment) -> dict[str, dict[str, float]]:
    """The final metrics of every arm with seed 0, run in this process with one thread, to six digits.

    The runs' records are not kept.

    Args:
        experiment: the experiment at smoke scale.

    Raises:
        UserError: if a run fails; a diverged run has a figure that says so.
    """
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="regrun-smoke-") as folder:
        done: dict[str, str] = {}  # arms with the same run share it
        for name, planned in experiment.planned.items():
            first = done.setdefault(planned.identity(0), name)
            found[name] = found[first] if first != name else run_arm(experiment, planned, Path(folder))
    return found


def run_arm(experiment: Experiment, planned: PlannedArm, outputs: Path) -> dict[str, float]:
    """The final metrics of an arm with seed 0."""
    name = planned.arm.name
    config = {**planned.config, "outputs": str(outputs), "logger": {}}
    directory = outputs / experiment.name / planned.identity(0)
    folders = [experiment.config_dir] if experiment.config_dir else []
    words = [*experiment.base, *planned.arm.overrides]
    record = Record(directory)
    try:
        with threads(1), quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings are for whoever runs the experiment
            Run(config, experiment.name, name, words, folders, directory, Display(silent=True)).execute()
    except Exception as error:
        if divergence(record):
            return {DIVERGES: 1.0}
        why = how_it_ended(error, name, directory).message
        raise UserError(f"the smoke run of the arm {name}: {why}") from error
    return {key: float(f"{value:.6g}") for key, value in record.final_metrics().items()}


def in_processes(
    function: Any, cases: Sequence[Any], workers: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """Apply a function to each case in separate single-threaded processes; yields results in order.

    Args:
        function: a function of one argument, importable by name.
        cases: its arguments.
        workers: number of parallel processes.
        environment: further environment variables of the processes.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    with ProcessPoolExecutor(
        min(workers, len(cases)),
        initializer=follow,
        initargs=(os.getpid(),),
        env={**ONE_THREAD, **(environment or {})},
    ) as pool:
        yield from pool.map(function, cases)


def repeatable(first: Figures, second: Figures) -> dict[str, dict[str, float]]:
    """The figures that two sets of the same runs agree on, so not times."""
    return {
        arm: {key: value for key, value in figures.items() if same(value, second[arm].get(key, math.nan))}
        for arm, figures in first.items()
    }


def differences(before: Figures, now: Figures) -> list[str]:
    """Smoke figures that have changed, one line each."""
    lines = [f"the arm {arm} is not there any more at smoke scale" for arm in before if arm not in now]
    for arm, figures in before.items():
        for key, value in figures.items() if arm in now else ():
            today = now[arm].get(key)
            if today is None or not same(value, today):
                lines.append(f"{arm}: {key} was {value:g} and is {'gone' if today is None else f'{today:g}'}")
    return lines


def same(a: float, b: float) -> bool:
    """Whether two figures are equal up to rounding."""
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-7)
