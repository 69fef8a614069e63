"""An experiment's arms: named lists of ordinary Hydra overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regrun.errors import UserError, nearest

# Overrides that say where, how or how often a run happens, and are not part of its arm.
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
        overrides: Hydra overrides, as typed.
        family: the family it belongs to, if any.
        value: its place in the family.
    """

    name: str
    overrides: tuple[str, ...]
    family: str | None = None
    value: object = None


def read_arms(config: Mapping[str, Any]) -> dict[str, Arm]:
    """Parse an experiment's arms, by name, with families expanded.

    An arm is a list of overrides. A family is ``{values: [...], overrides: [...]}`` with ``{}`` in the

    Args:
        config: the ``arms`` of a resolved config.

    Raises:
        UserError: if an arm is neither.
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
    """Raise ``UserError`` unless ``node`` is a list of overrides that an experiment may make."""
    if not isinstance(node, list) or not all(isinstance(word, str) for word in node):
        raise UserError(f"{where}: expected a list of overrides, got {node!r}")
    for word in node:
        key = key_of(word)
        if group_of(key) in NOT_FOR_ARMS or "@hydra" in key:
            raise UserError(f"{where}: {word} says where or how to run, and is for the command line")


def key_of(override: str) -> str:
    """The key that an override sets."""
    return override.split("=", 1)[0].lstrip("+~")


def arm_name(overrides: Sequence[str], arms: Mapping[str, Arm]) -> str:
    """The name of the arm that a list of task overrides selects.

    An arm of the experiment keeps its name, in any order and spelling of its overrides; otherwise the name is
    the overrides themselves, fit for a file name; ``default`` if there are none.
    """
    # If a key is set twice, the last value counts.
    last = {override.split("=", 1)[0]: override for override in overrides}
    chosen = [override for override in last.values() if is_of_the_arm(override)]
    wanted = meaning(chosen)
    for name, arm in arms.items():
        if meaning([override for override in arm.overrides if is_of_the_arm(override)]) == wanted:
            return name
    return folder_name(",".join(sorted(chosen)))


def folder_name(words: str) -> str:
    """An arm's name as a folder name: no path separators, limited length."""
    return re.sub(r"[^\w.=+,@~^-]+", "_", words)[:LONGEST_NAME].strip("_.") or "default"


def is_of_the_arm(override: str) -> bool:
    """Whether an override is part of an arm, rather than saying where or how often it runs."""
    key = key_of(override)
    if key == "trainer.precision":
        return True
    return key not in NOT_OF_THE_ARM and group_of(key) not in NOT_OF_THE_ARM_GROUPS


def group_of(key: str) -> str:
    """The first word of an override's key: a group, or a key at the config's root."""
    return re.split(r"[./@]", key, maxsplit=1)[0]


def meaning(overrides: Sequence[str]) -> dict[str, str]:
    """Normalized overrides by key: ``1e-8`` equals ``1e-08``, and ``group=[x]`` equals ``group=x``."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    said = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.get_key_element(), override.value()
        if isinstance(value, list) and len(value) == 1 and "." not in key:
            value = value[0]
        said[key] = repr(getattr(value, "text", value))
    return said
