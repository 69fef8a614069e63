"""The runs of an experiment, arms × seeds, with their records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from regrun.config.arms import Arm
from regrun.config.checking import checked_config
from regrun.config.composing import find_record, plain_config
from regrun.config.identity import fingerprint
from regrun.errors import UserError, nearest
from regrun.records.record import Record

Compose = Callable[[Sequence[str]], DictConfig]


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed.

    Attributes:
        arm: the arm's name.
        seed: the seed, from 0.
        overrides: its overrides with the seed, as typed.
        identity: the run's fingerprint.
        directory: folder of the run's record.
    """

    arm: str
    seed: int
    overrides: tuple[str, ...]
    identity: str
    directory: Path

    @cached_property
    def record(self) -> Record:
        """The run's record."""
        return Record(self.directory)


@dataclass(frozen=True)
class PlannedArm:
    """An arm and its config.

    Attributes:
        arm: the arm.
        config: its resolved config with seed 0.
        composed: the same, unresolved.
    """

    arm: Arm
    config: Mapping[str, Any]
    composed: DictConfig

    @cached_property
    def follows_seed(self) -> bool:
        """Whether other parts of the config depend on the seed."""
        return with_seed(self.composed, 1) != {**self.config, "seed": 1}

    def identity(self, seed: int) -> str:
        """The fingerprint of the run with this seed."""
        if seed and self.follows_seed:
            return fingerprint(with_seed(self.composed, seed))
        return fingerprint({**self.config, "seed": seed})


def with_seed(composed: DictConfig, seed: int) -> dict[str, Any]:
    """The resolved config with another seed."""
    copy = composed.copy()
    copy.seed = seed
    return plain_config(copy)


def plan_arms(base: Sequence[str], arms: Sequence[Arm], compose: Compose) -> dict[str, PlannedArm]:
    """Compose the config of every arm.

    Args:
        base: overrides shared by all arms.
        arms: the arms to compose.
        compose: composes a config from overrides.

    Raises:
        UserError: if an arm cannot be composed, with its name.
    """
    planned = {}
    for arm in arms:
        try:
            composed = compose([*base, *arm.overrides, "seed=0"])
            planned[arm.name] = PlannedArm(arm, checked_config(composed), composed)
        except UserError as error:
            raise UserError(f"the arm {arm.name}: {error}") from error
    return planned


def plan_runs(
    experiment: str, base: Sequence[str], arms: Mapping[str, PlannedArm], seeds: int
) -> list[PlannedRun]:
    """All runs, seed by seed, so that early judgements have complete seeds.

    Arms with the same config share a run.
    """
    runs = []
    directories: dict[str, Path] = {}
    for seed in range(seeds):
        for name, planned in arms.items():
            identity = planned.identity(seed)
            outputs = Path(planned.config["outputs"])
            if identity not in directories:
                directories[identity] = outputs / find_record(outputs, experiment, name, seed, identity)
            overrides = (*base, *planned.arm.overrides, f"seed={seed}")
            runs.append(PlannedRun(name, seed, overrides, identity, directories[identity]))
    return runs


def choose_arms(wanted: Sequence[str] | None, arms: Mapping[str, Arm]) -> list[Arm]:
    """The arms with these names; a family's name selects its members, ``None`` all arms.

    Raises:
        UserError: for an unknown name, with the nearest right spelling.
    """
    if wanted is None:
        return list(arms.values())
    families = {arm.family for arm in arms.values()}
    for name in wanted:
        if name not in arms and name not in families:
            known = [*arms, *(family for family in families if family)]
            raise UserError(f"unknown arm {name!r}{nearest(name, known)} (known: {', '.join(arms)})")
    return [arm for arm in arms.values() if arm.name in wanted or arm.family in wanted]
