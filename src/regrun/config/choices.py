"""The valid choices of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig

from regrun.config.catalogue import SEVERAL, SINGLE, names
from regrun.config.hydra_settings import parse_overrides
from regrun.config.user_files import GROUPS
from regrun.errors import UserError

LISTED = 8  # names in a message


def check_choices(choices: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if a choice is a path out of its group's folder instead of a name."""
    for group, chosen in choices.items():
        for name in chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]:
            words = str(name).split("/")
            if not all(words) or {".", ".."} & {*words} or "\0" in str(name):
                raise UserError(f"{group}={name}: expected a name, not a path")


def check_names(overrides: Sequence[str]) -> None:
    """Raise ``UserError`` if a group is given anything but names."""
    for override in parse_overrides(overrides):
        group, value = override.key_or_group, override.value()
        chooses = group in GROUPS and not override.is_delete() and not override.is_sweep_override()
        if chooses and not isinstance(value, str | QuotedString | list):
            raise UserError(f"{override.input_line}: expected {one_of(group)}")


def one_of(group: str) -> str:
    """The valid choices of a group, in words."""
    known = names(group)
    none = next((f"; {group}={name} chooses none" for name in ("none", "csv") if name in known), "")
    return f"a name ({', '.join(known[:LISTED])}{', ...' if len(known) > LISTED else ''}){none}"


def check_groups(cfg: DictConfig) -> None:
    """Raise ``UserError`` if a required group was emptied."""
    for group in (*SINGLE, *SEVERAL, "logger", "trainer"):
        if not isinstance(cfg.get(group), DictConfig):
            raise UserError(f"{group}: expected {one_of(group)}")
