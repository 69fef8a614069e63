"""An experiment's arms: named lists of ordinary Hydra overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regrun.errors import UserError, nearest

# What says where, how or how often a run happens, and not which arm it is.
NOT_OF_THE_ARM = (
    "experiment",
    "scale",
    "seed",
    "outputs",
    "data_dir",
    "force",
    "checkpoint_seconds",
    "engine",
)
NOT_OF_THE_ARM_GROUPS = ("trainer", "logger", "hydra", "resources")
NOT_FOR_ARMS = ("experiment", "hydra", "outputs", "data_dir", "seed", "scale", "force", "engine", "logger")
LONGEST_NAME = 100
PLACEHOLDER = "{}"


@dataclass(frozen=True)
class Arm:
    """A named set of overrides inside an experiment.

    Attributes:
        name: ``stablemax``, or ``rate=0.1`` for a member of a family.
        overrides: what one would type.
        family: the family it belongs to, if any.
        value: its place in the family.
    """

    name: str
    overrides: tuple[str, ...]
    family: str | None = None
    value: object = None


def read_arms(config: Mapping[str, Any]) -> dict[str, Arm]:
    """An experiment's arms by name, swept families spelt out.

    An arm is a list of overrides. A family is ``{values: [...], overrides: [...]}`` with ``{}`` in the
    overrides where the value goes.

    Args:
        config: the ``arms`` of a resolved config.

    Raises:
        UserError: if one is neither.
    """
    arms: dict[str, Arm] = {}
    for name, node in config.items():
        if not str(name).isidentifier():
            raise UserError(f"arms.{name}: a name is letters, digits and _, and begins with a letter")
        if isinstance(node, Mapping):
            for value in _family_values(name, node):
                overrides = tuple(str(word).replace(PLACEHOLDER, str(value)) for word in node["overrides"])
                arms[f"{name}={value}"] = Arm(f"{name}={value}", overrides, name, value)
        else:
            arms[name] = Arm(name, _overrides(name, node))
    return arms


def _family_values(name: str, node: Mapping[str, Any]) -> list[Any]:
    for key in node:
        if key not in ("values", "overrides"):
            raise UserError(f"arms.{name}: unknown key {key!r}{nearest(str(key), ['values', 'overrides'])}")
    values = node.get("values")
    if not isinstance(values, list) or len(set(map(str, values))) < max(2, len(values)):
        raise UserError(
            f"arms.{name}.values: expected a list of at least two different values, got {values!r}"
        )
    if not any(PLACEHOLDER in word for word in _overrides(f"{name}.overrides", node.get("overrides"))):
        raise UserError(f"arms.{name}.overrides: {PLACEHOLDER} must stand where the value goes")
    return values


def _overrides(name: str, node: Any) -> tuple[str, ...]:
    check_words(f"arms.{name}", node)
    return tuple(node)


def check_words(where: str, node: Any) -> None:
    """Raise ``UserError`` for what is not a list of overrides that an experiment may make."""
    if not isinstance(node, list) or not all(isinstance(word, str) for word in node):
        raise UserError(f"{where}: expected a list of overrides, got {node!r}")
    for word in node:
        key = key_of(word)
        if group_of(key) in NOT_FOR_ARMS or "@hydra" in key:
            raise UserError(f"{where}: {word} says where or how to run, and is for the command line")


def key_of(override: str) -> str:
    """What an override sets."""
    return override.split("=", 1)[0].lstrip("+~")


def arm_name(overrides: Sequence[str], arms: Mapping[str, Arm]) -> str:
    """The name of the arm that a list of task overrides selects.

    Where it is one the experiment names (in any order and spelling), that name; else the overrides
    themselves, fit for a file name; ``default`` where there are none.
    """
    # Of a key that is set twice, the last value counts.
    last = {override.split("=", 1)[0]: override for override in overrides}
    chosen = [override for override in last.values() if is_of_the_arm(override)]
    wanted = meaning(chosen)
    for name, arm in arms.items():
        if meaning([override for override in arm.overrides if is_of_the_arm(override)]) == wanted:
            return name
    return folder_name(",".join(sorted(chosen)))


def folder_name(words: str) -> str:
    """What an arm is called by, fit for a folder's name: no path, and not too long."""
    return re.sub(r"[^\w.=+,@~^-]+", "_", words)[:LONGEST_NAME].strip("_.") or "default"


def is_of_the_arm(override: str) -> bool:
    """Whether an override belongs to an arm, rather than saying where or how often it runs."""
    key = key_of(override)
    if key == "trainer.precision":
        return True
    return key not in NOT_OF_THE_ARM and group_of(key) not in NOT_OF_THE_ARM_GROUPS


def group_of(key: str) -> str:
    """The first word of an override's key: a group, or a key of the config's root."""
    return re.split(r"[./@]", key, maxsplit=1)[0]


def meaning(overrides: Sequence[str]) -> dict[str, str]:
    """What overrides say, however they are spelt: ``1e-8`` is ``1e-08``, and ``group=[x]`` is ``group=x``."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    said = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.get_key_element(), override.value()
        if isinstance(value, list) and len(value) == 1 and "." not in key:
            value = value[0]
        said[key] = repr(getattr(value, "text", value))
    return said
