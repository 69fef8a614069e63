"""The results of a table: chosen settings, values by seed, and tests of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from regrun.claims.statistics import LEVEL, holm, mean_interval, smallest_alpha
from regrun.matrix.config import Problem, Table
from regrun.reproduction.entry import Cost, Number, StrictModel


class Cell(StrictModel):
    """A component on a problem.

    Attributes:
        component: the row.
        problem: the column.
        chosen: the tuned values; empty if the config's own values were best.
        tried: selection metric of each trial; ``nan`` if it failed.
        values: measured metric by seed; empty if a run failed or does not measure it.
        why: the reason for missing values, in one line.
        difference: mean difference from the baseline over seeds, positive if the component is better.
        interval: 95 % confidence interval of the difference.
        p: two-sided p-value of a difference of 0.
        p_holm: the same after Holm's correction over the table.
    """

    component: str
    problem: str
    chosen: dict[str, str] = Field(default_factory=dict)
    tried: list[Number] = Field(default_factory=list)
    values: list[Number] = Field(default_factory=list)
    why: str = ""
    difference: Number = math.nan
    interval: tuple[Number, Number] = (math.nan, math.nan)
    p: float | None = None
    p_holm: float | None = None

    @property
    def mean(self) -> float:
        """The mean over seeds; ``nan`` if there are none."""
        return sum(self.values) / len(self.values) if self.values else math.nan

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline, by Holm's correction at 5 %."""
        return self.p_holm is not None and self.p_holm <= 1 - LEVEL


class Result(StrictModel):
    """The results of a table.

    Attributes:
        name: name of the table.
        title: its title.
        says: the question it answers.
        baseline: the component that others are compared with.
        trials: settings tried in each cell.
        tuning_seed: seed of the trials.
        seeds: seeds that are compared.
        problems: the problems, in order.
        components: names of the components, in order.
        cells: cells, row by row.
        cost: cost of all complete runs.
        environment: machine and versions.
        commits: commits of the code that ran.
        overrides: overrides by which it differs from the table's file.
    """

    name: str
    title: str
    says: str
    baseline: str
    trials: int
    tuning_seed: int
    seeds: int
    problems: dict[str, Problem]
    components: list[str]
    cells: list[Cell]
    cost: Cost
    environment: dict[str, Any]
    commits: list[str]
    overrides: list[str] = Field(default_factory=list)

    def cell(self, component: str, problem: str) -> Cell:
        """The cell of a component and a problem."""
        return next(c for c in self.cells if (c.component, c.problem) == (component, problem))


def compared(table: Table, cells: Sequence[Cell]) -> list[Cell]:
    """The cells with differences from the baseline, paired by seed, and corrected p-values."""
    baseline = {cell.problem: cell for cell in cells if cell.component == table.baseline}
    judged = [judge(table.problems[cell.problem], cell, baseline[cell.problem]) for cell in cells]
    tested = [cell for cell in judged if cell.p is not None]
    corrected = holm([cell.p for cell in tested if cell.p is not None])
    known = {(c.component, c.problem): p for c, p in zip(tested, corrected, strict=True)}
    return [cell.model_copy(update={"p_holm": known.get((cell.component, cell.problem))}) for cell in judged]


def judge(problem: Problem, cell: Cell, baseline: Cell) -> Cell:
    """A cell with its difference from the baseline's; the baseline has none."""
    if cell is baseline or not cell.values or len(cell.values) != len(baseline.values):
        return cell
    sign = 1 if problem.better == "higher" else -1
    differences = [sign * (a - b) for a, b in zip(cell.values, baseline.values, strict=True)]
    interval = mean_interval(differences)
    p = smallest_alpha(lambda alpha: excludes_zero(*interval(1 - alpha)))
    return cell.model_copy(
        update={
            "difference": sum(differences) / len(differences),
            "interval": interval(LEVEL),
            "p": p,
        }
    )


def excludes_zero(low: float, high: float) -> bool:
    """Whether an interval excludes 0."""
    return low > 0 or high < 0
