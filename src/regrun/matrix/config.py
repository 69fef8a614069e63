"""The config of a cross table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from regrun.config.catalogue import read_yaml
from regrun.config.user_files import folders_of
from regrun.errors import UserError, nearest
from regrun.paths import conf_dir
from regrun.ranges import SEEDS


class StrictModel(BaseModel):
    """A part of a table; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")


class Range(StrictModel):
    """The distribution of a tuned parameter: uniform or log-uniform between two ends.

    Attributes:
        low: lower end.
        high: upper end.
        log: whether it is log-uniform.
    """

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low must lie below high, and above 0 with log, got {self.low} and {self.high}")
        return self


Search = dict[str, Range | list[int | float | str]]


def flattened(value: Any) -> Any:
    """Flatten nested lists, so that a file can share parts of lists by YAML anchors."""
    if not isinstance(value, list):
        return value
    return [word for part in value for word in (flattened(part) if isinstance(part, list) else [part])]


Overrides = Annotated[list[str], BeforeValidator(flattened)]


class Component(StrictModel):
    """A component to compare.

    Attributes:
        overrides: overrides that choose it.
        search: tuned parameters by key; the first trial has the config's values.
    """

    overrides: Overrides = []
    search: Search = {}


class Problem(StrictModel):
    """A problem to compare components on.

    Attributes:
        says: the question, in a few words.
        overrides: overrides that choose it.
        tune: further overrides while tuning.
        measure: metric that is compared.
        choose: metric that selects a trial, on held-out samples.
        better: whether higher or lower is better, for both metrics.
        search: parameters tuned for every component, including the baseline.
    """

    says: str
    overrides: Overrides
    tune: Overrides = []
    measure: str
    choose: str
    better: Literal["higher", "lower"] = "higher"
    search: Search = {}


class Table(StrictModel):
    """A cross table.

    Attributes:
        title: its title.
        says: the question it answers.
        baseline: the component that others are compared with.
        trials: number of settings tried per cell; the first is the component's own.
        tuning_seed: seed of the trials, distinct from the compared seeds.
        seeds: number of compared seeds, from 0.
        components: components by name.
        problems: problems by name.
    """

    title: str
    says: str
    baseline: str
    trials: int = Field(ge=1)
    tuning_seed: int = Field(default=1000, ge=0, lt=SEEDS, strict=True)
    seeds: int = Field(ge=2, le=SEEDS, strict=True)
    components: dict[str, Component]
    problems: dict[str, Problem]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.baseline not in self.components:
            raise ValueError(
                f"the baseline {self.baseline!r} is no component{nearest(self.baseline, self.components)}"
            )
        if self.tuning_seed < self.seeds:
            raise ValueError(f"tuning_seed {self.tuning_seed} is one of the seeds that are compared")
        return self

    def part(self, components: Sequence[str] | None, problems: Sequence[str] | None) -> Table:
        """The table restricted to some rows and columns; the baseline always stays.

        Raises:
            UserError: for an unknown name.
        """
        for wanted, known, kind in (
            (components, self.components, "component"),
            (problems, self.problems, "problem"),
        ):
            for name in wanted or []:
                if name not in known:
                    raise UserError(f"no {kind} {name!r}{nearest(name, known)} (known: {', '.join(known)})")
        rows = {
            name: part
            for name, part in self.components.items()
            if components is None or name in components or name == self.baseline
        }
        columns = {name: part for name, part in self.problems.items() if problems is None or name in problems}
        return self.model_copy(update={"components": rows, "problems": columns})


def tables(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """The files of all tables by name; later folders take precedence."""
    return {
        file.stem: file
        for folder in (conf_dir(), *folders)
        for file in sorted((folder / "matrix").glob("*.yaml"))
    }


def load_table(name: str, config_dir: str | None = None) -> Table:
    """Read a table.

    Raises:
        UserError: if it is invalid, with the nearest right spelling.
    """
    known = tables(folders_of([config_dir]))
    if name not in known:
        raise UserError(f"there is no matrix {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    try:
        return Table.model_validate(read_yaml(known[name]))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the table"
        raise UserError(f"{known[name]}: {where}: {first['msg']}") from error
