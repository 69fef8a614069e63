"""An experiment to be reproduced: its arms and claims at a scale."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from regrun.claims import Claim, read_claims
from regrun.claims.config import check_measured
from regrun.config.arms import LONGEST_NAME, Arm, key_of, read_arms
from regrun.config.catalogue import names
from regrun.config.checking import check_scale
from regrun.config.choices import check_names
from regrun.config.composing import compose_config, plain_config
from regrun.config.user_files import folders_of
from regrun.config.whitelist import find_targets
from regrun.errors import UserError, nearest
from regrun.ranges import SEEDS
from regrun.records.damage import DamagedError
from regrun.records.record import Status
from regrun.reproduction.plan import PlannedArm, PlannedRun, plan_arms, plan_runs
from regrun.runs.definitions import definition_hashes
from regrun.sweeps.composer import composer_like

# Overrides that say where and how runs are executed, and do not change the experiment.
NOT_OF_THE_EXPERIMENT = (
    "trainer",
    "resources",
    "engine",
    "logger",
    "hydra",
    "outputs",
    "data_dir",
    "checkpoint_seconds",
    "force",
)


@dataclass(frozen=True)
class Experiment:
    """An experiment at a scale, with the user's overrides.

    Attributes:
        name: name of its config.
        scale: ``smoke``, ``small`` or ``paper``.
        overrides: the user's overrides.
        config_dir: a folder of the user's own configs.
        composed: its config without an arm, unresolved.
        config: the same, resolved.
        arms: its arms by name.
        claims: its parsed claims.
    """

    name: str
    scale: str
    overrides: tuple[str, ...]
    config_dir: str | None
    composed: DictConfig
    config: Mapping[str, Any]
    arms: Mapping[str, Arm]
    claims: Sequence[Claim]

    @property
    def base(self) -> list[str]:
        """The overrides shared by all its runs."""
        return [f"experiment={self.name}", f"scale={self.scale}", *self.overrides]

    @property
    def seeds(self) -> int:
        """The number of seeds to judge it on, counted from 0.

        Raises:
            UserError: if the config has no valid number.
        """
        count = self.config["seeds"]
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= SEEDS:
            raise UserError(f"seeds: expected a number from 1 to {SEEDS}, got {count!r}")
        return count

    @property
    def outputs(self) -> Path:
        """The folder of its records."""
        return Path(self.config["outputs"])

    @property
    def changes(self) -> list[str]:
        """The overrides that change the experiment."""
        return changes(self.overrides)

    @property
    def words(self) -> list[str]:
        """The words after ``regrun reproduce`` that select it, wherever it is executed."""
        scale = [] if self.scale == "small" else ["--scale", self.scale]
        folder = ["--config-dir", self.config_dir] if self.config_dir else []
        return [self.name, *scale, *folder, *self.changes]

    @property
    def variant(self) -> str:
        """A file-name part for a changed experiment; empty if unchanged."""
        return re.sub(r"[^\w.=+,~-]+", "_", ",".join(self.changes))[:LONGEST_NAME].strip("_.")

    @cached_property
    def planned(self) -> dict[str, PlannedArm]:
        """The config of every arm.

        Raises:
            UserError: if one cannot be composed, or names something untrusted.
        """
        shared = {*self.composed.hydra.overrides.hydra}
        with composer_like(self.composed) as composer:

            def compose(words: Sequence[str]) -> DictConfig:
                check_names(words)
                try:
                    return composer([word for word in words if word not in shared])
                except UserError:
                    return compose_config(words, self.config_dir)  # raises with a hint

            return plan_arms(self.base, list(self.arms.values()), compose)

    @cached_property
    def code(self) -> dict[str, str]:
        """A hash of the definition of each component of its arms, by the component's name."""
        return definition_hashes(
            {target for arm in self.planned.values() for _, target in find_targets(arm.config["procedure"])}
        )

    def runs(self, seeds: int) -> list[PlannedRun]:
        """All runs, arms × seeds."""
        return plan_runs(self.name, self.base, self.planned, seeds)

    def check_metrics(self, runs: Sequence[PlannedRun]) -> None:
        """Check that the arms measure the metrics of the claims.

        An arm's metrics are read from a complete run; if there is none, its procedure is built, which also
        finds other mistakes.

        Raises:
            UserError: with the nearest right spelling.
        """
        known: dict[str, Sequence[str]] = {}
        for run in runs:
            if run.arm in known or run.record.status is not Status.COMPLETE:
                continue
            with suppress(DamagedError):  # another run may do; damaged ones are reported later
                known[run.arm] = [*run.record.curves(), *run.record.result()["metrics"]]
        for name, planned in self.planned.items():
            if name not in known:
                from regrun.runs.building import build_procedure

                try:
                    known[name] = list(build_procedure(planned.config).metrics)
                except UserError as error:
                    raise UserError(f"the arm {name}: {error}") from error
        check_measured(self.claims, known)


def load_experiment(name: str, scale: str, overrides: Sequence[str], config_dir: str | None) -> Experiment:
    """Load an experiment, with all checks that need no construction of components.

    Raises:
        UserError: in plain words, with the nearest right spelling.
    """
    known = names("experiment", folders_of([config_dir]))
    if name not in known:
        raise UserError(f"there is no experiment {name!r}{nearest(name, known)} (regrun list experiment)")
    for word in overrides:
        for key, instead in {"seed": "--seeds N", "scale": "--scale", "experiment": "the name"}.items():
            if word.startswith(f"{key}="):
                raise UserError(f"{word}: the {key} is chosen with {instead}")
    base = [f"experiment={name}", f"scale={scale}", *overrides]
    composed = compose_config(base, config_dir)
    check_scale(composed)
    config = plain_config(composed)
    arms = read_arms(config["arms"])
    if not arms:
        raise UserError(f"the experiment {name} has no arms, so there is nothing to reproduce")
    check_effect(overrides, arms)
    check_headline(config["report"], arms)
    return Experiment(
        name, scale, tuple(overrides), config_dir, composed, config, arms, read_claims(config["claims"], arms)
    )


def changes(overrides: Sequence[str]) -> list[str]:
    """The overrides that change numbers, rather than where and how runs are executed."""
    return [
        word
        for word in overrides
        if re.split(r"[./@=]", word.lstrip("+~"), maxsplit=1)[0] not in NOT_OF_THE_EXPERIMENT
        or word.startswith("trainer.precision")
    ]


def check_effect(overrides: Sequence[str], arms: Mapping[str, Arm]) -> None:
    """Raise ``UserError`` for an override without effect because every arm sets the same key."""
    for word in overrides:
        key = key_of(word)
        if all(key in map(key_of, arm.overrides) for arm in arms.values()):
            raise UserError(f"{word} would change nothing: every arm sets {key} itself")


def check_headline(report: Mapping[str, Any], arms: Mapping[str, Arm]) -> None:
    """Raise ``UserError`` if the report's first figure names an unknown arm."""
    for name in report["arms"]:
        if name not in arms:
            raise UserError(
                f"report.arms: unknown arm {name!r}{nearest(name, arms)} (known: {', '.join(arms)})"
            )
