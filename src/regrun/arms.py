"""An experiment's arms: named lists of ordinary Hydra overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

# What says where, how or how often a run happens, and not which arm it is.
NOT_OF_THE_ARM = ("experiment", "scale", "seed", "outputs", "data_dir", "force", "checkpoint_seconds")
NOT_OF_THE_ARM_GROUPS = ("trainer", "logger", "hydra")
LONGEST_NAME = 100


def arm_name(overrides: Sequence[str], arms: Mapping[str, Sequence[str]]) -> str:
    """The name of the arm that a list of task overrides selects.

    Where it is one the experiment names (in any order and spelling), that name; else the overrides
    themselves, fit for a file name; ``default`` where there are none.
    """
    # Of a key that is set twice, the last value counts.
    last = {override.split("=", 1)[0]: override for override in overrides}
    chosen = [override for override in last.values() if is_of_the_arm(override)]
    wanted = meaning(chosen)
    for name, arm in arms.items():
        if meaning(arm) == wanted:
            return name
    words = re.sub(r"[^\w.=+,@~^-]+", "_", ",".join(sorted(chosen)))
    return words[:LONGEST_NAME].strip("_.") or "default"


def is_of_the_arm(override: str) -> bool:
    """Whether an override belongs to an arm, rather than saying where or how often it runs."""
    key = override.split("=", 1)[0].lstrip("+~")
    group = re.split(r"[./@]", key, maxsplit=1)[0]
    if key == "trainer.precision":
        return True
    return key not in NOT_OF_THE_ARM and group not in NOT_OF_THE_ARM_GROUPS


def meaning(overrides: Sequence[str]) -> dict[str, str]:
    """What overrides say, however they are spelt: ``1e-8`` is ``1e-08``, and ``group=[x]`` is ``group=x``."""
    said = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.get_key_element(), override.value()
        if isinstance(value, list) and len(value) == 1 and "." not in key:
            value = value[0]
        said[key] = repr(getattr(value, "text", value))
    return said
