"""Runs a table: the trials of every cell, then all seeds with the chosen settings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from regrun.config.checking import checked_config
from regrun.config.composing import compose_config, record_path
from regrun.console import OUT
from regrun.errors import UserError
from regrun.launchers.task import packs
from regrun.matrix.cells import Cell, Result, compared
from regrun.matrix.config import Problem, Table
from regrun.matrix.trials import Setting, settings, words
from regrun.plural import count
from regrun.records.record import Record, Status
from regrun.reproduction.entry import Cost
from regrun.reproduction.experiment import changes
from regrun.runs.environment import available_cores

HYDRAS = ("hydra/", "hydra.")  # overrides that configure the launcher


class InterruptedTableError(Exception):
    """Raised when the user stops a table."""


@dataclass(frozen=True)
class CellRun:
    """One run of a cell.

    Attributes:
        label: the run, for messages.
        overrides: its overrides, as typed.
        directory: folder of its record.
        packs: whether it may share the cores with other runs.
    """

    label: str
    overrides: tuple[str, ...]
    directory: Path
    packs: bool

    @cached_property
    def record(self) -> Record:
        """The run's record."""
        return Record(self.directory)

    @property
    def is_complete(self) -> bool:
        """Whether its record is complete and unchanged."""
        return self.record.status is Status.COMPLETE and self.record.is_intact()

    def metric(self, name: str) -> float:
        """A final metric; ``nan`` if the run is incomplete or does not measure it."""
        if not self.is_complete:
            return math.nan
        return self.record.final_metrics().get(name, math.nan)


class Runner:
    """Runs the missing runs of a table.

    Args:
        name: name of the table.
        table: the table.
        overrides: the user's overrides, for all runs.
        outputs: folder of the records.
        config_dir: a folder of the user's own configs.
    """

    def __init__(
        self, name: str, table: Table, overrides: Sequence[str], outputs: Path, config_dir: str | None
    ) -> None:
        self.name = name
        self.table = table
        self.overrides = overrides
        self.outputs = outputs
        self.config_dir = config_dir
        self.seen: dict[Path, CellRun] = {}

    @property
    def changes(self) -> list[str]:
        """The overrides by which it differs from the table's file."""
        return changes(self.overrides)

    def __call__(self) -> Result:
        """Run what is missing, and compare.

        Raises:
            InterruptedTableError: if the user stopped it.
            UserError: if a cell cannot be composed; nothing has started then.
        """
        tried = self.trials
        self.run(run for runs in tried.values() for _, run in runs)
        chosen = {place: choose(self.table.problems[place[1]], runs) for place, runs in tried.items()}
        final = {
            place: [self.plan(place, setting, seed) for seed in range(self.table.seeds)]
            for place, (setting, _) in chosen.items()
            if setting is not None
        }
        self.run(run for runs in final.values() for run in runs)
        cells = [self.cell(place, *chosen[place], final.get(place, [])) for place in tried]
        return self.result(compared(self.table, cells))

    @cached_property
    def trials(self) -> dict[tuple[str, str], list[tuple[Setting, CellRun]]]:
        """The trials of every cell, by component and problem."""
        return {
            (component, problem): [
                (setting, self.plan((component, problem), setting, None))
                for setting in settings(column, row, component, self.table.trials)
            ]
            for component, row in self.table.components.items()
            for problem, column in self.table.problems.items()
        }

    def plan(self, place: tuple[str, str], setting: Setting, seed: int | None) -> CellRun:
        """A run with a seed, or a trial."""
        row, column = self.table.components[place[0]], self.table.problems[place[1]]
        tuning = column.tune if seed is None else []
        label = " ".join([*place, *words(setting), "trial" if seed is None else f"seed {seed}"])
        seed = self.table.tuning_seed if seed is None else seed
        overrides = (
            *column.overrides,
            *row.overrides,
            *words(setting),
            *tuning,
            f"outputs={self.outputs / 'matrix' / self.name}",
            *(word for word in self.overrides if not word.startswith(HYDRAS)),
            f"seed={seed}",
        )
        try:
            config = compose_config(overrides, self.config_dir)
            checked_config(config)
        except UserError as error:
            raise UserError(f"{place[0]} on {place[1]}: {error}") from error
        directory = Path(config.outputs) / record_path(config)
        return self.seen.setdefault(directory, CellRun(label, overrides, directory, packs(config)))

    def missing(self, runs: Iterable[CellRun]) -> list[CellRun]:
        """The distinct runs that are not complete."""
        return [run for run in {run.directory: run for run in runs}.values() if not run.is_complete]

    def run(self, runs: Iterable[CellRun]) -> None:
        """Launch missing runs through Hydra; a cell goes without a run that fails."""
        missing = self.missing(runs)
        if not missing:
            return
        from regrun.sweeps.command import run_hydra

        own = [word for word in self.overrides if word.startswith(HYDRAS)]
        shared = ["-m", *(["--config-dir", self.config_dir] if self.config_dir else []), *own]
        if all(run.packs for run in missing) and not any(word.startswith("hydra/launcher=") for word in own):
            workers = min(available_cores(), len(missing))
            shared += ["hydra/launcher=packed", f"hydra.launcher.n_jobs={workers}", "trainer.threads=1"]
        jobs = ",".join(list_text(run.overrides) for run in missing)
        labels = list_text([run.label for run in missing])
        code = run_hydra(
            [*shared, "hydra/sweeper=jobs", f"hydra.sweeper.jobs=[{jobs}]", f"hydra.sweeper.labels={labels}"]
        )
        if code == 130:
            raise InterruptedTableError

    def cell(
        self, place: tuple[str, str], setting: Setting | None, tried: list[float], final: list[CellRun]
    ) -> Cell:
        """The result of a cell."""
        problem = self.table.problems[place[1]]
        values = [run.metric(problem.measure) for run in final]
        why = ""
        if setting is None:
            why = f"no trial gave {problem.choose}"
        elif not all(run.is_complete for run in final):
            why = "a run failed"
        elif any(math.isnan(value) for value in values):
            why = f"{problem.measure} is not measured"
        return Cell(
            component=place[0],
            problem=place[1],
            chosen=dict(setting or {}),
            tried=tried,
            values=[] if why else values,
            why=why,
        )

    def result(self, cells: Sequence[Cell]) -> Result:
        """The results of the table, with its cost."""
        complete = [run for run in self.seen.values() if run.is_complete]
        manifests = [run.record.manifest() for run in complete]
        results = [run.record.result() for run in complete]
        newest = max(manifests, key=lambda manifest: manifest["started"], default=None)
        environment = dict(newest["environment"]) if newest else {}
        return Result(
            name=self.name,
            title=self.table.title,
            says=self.table.says,
            baseline=self.table.baseline,
            trials=self.table.trials,
            tuning_seed=self.table.tuning_seed,
            seeds=self.table.seeds,
            problems=self.table.problems,
            components=list(self.table.components),
            cells=list(cells),
            cost=Cost(
                runs=len(complete),
                wall_seconds=round(sum(result["wall_seconds"] for result in results), 1),
                cpu_seconds=round(sum(result["cpu_seconds"] for result in results), 1),
            ),
            environment=_kept(environment),
            commits=sorted({str(manifest["environment"]["commit"]) for manifest in manifests}),
            overrides=self.changes,
        )

    def announce(self) -> int:
        """Print the amount of work; returns the number of missing trial runs."""
        trials = [run for runs in self.trials.values() for _, run in runs]
        missing = len(self.missing(trials))
        cells = len(self.table.components) * len(self.table.problems)
        different = len({run.directory for run in trials})
        OUT.print(
            f"{self.name}: {count(cells, 'cell')}, {count(different, 'different trial')}, "
            f"{missing} of them to do, then at most {count(cells * self.table.seeds, 'run')} of what is "
            "chosen",
            soft_wrap=True,
        )
        return missing


def choose(problem: Problem, tried: Sequence[tuple[Setting, CellRun]]) -> tuple[Setting | None, list[float]]:
    """The best setting by the problem's own metric, ``None`` if all failed, and the metric of each.

    Ties go to the first, so the config's own values stay unless another setting is better.
    """
    found = [run.metric(problem.choose) for _, run in tried]
    sign = 1 if problem.better == "higher" else -1
    known = [k for k, value in enumerate(found) if not math.isnan(value)]
    best = max(known, key=lambda k: sign * found[k], default=None)
    return (None if best is None else tried[best][0]), found


def list_text(texts: Sequence[str]) -> str:
    """Strings as a list in Hydra's grammar."""
    quoted = [text.replace("\\", "\\\\").replace("'", "\\'") for text in texts]
    return "[" + ",".join(f"'{word}'" for word in quoted) + "]"


def _kept(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in environment.items() if key not in ("host", "commit")}
