"""An experiment's arms: named lists of ordinary Hydra overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# What says where, how or how often a run happens, and not which arm it is.
NOT_OF_THE_ARM = ("experiment", "scale", "seed", "outputs", "data_dir", "force", "checkpoint_seconds")
NOT_OF_THE_ARM_GROUPS = ("trainer", "logger", "hydra")
LONGEST_NAME = 100


def arm_name(overrides: Sequence[str], arms: Mapping[str, Sequence[str]]) -> str:
    """The name of the arm that a list of task overrides selects.

    Where it is one the experiment names (in any order), that name; else the overrides themselves, fit for a
    file name; ``default`` where there are none.
    """
    chosen = [override for override in overrides if is_of_the_arm(override)]
    wanted = {normalized(override) for override in chosen}
    for name, arm in arms.items():
        if {normalized(override) for override in arm} == wanted:
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


def normalized(override: str) -> str:
    """An override without spaces, and ``group=[x]`` as ``group=x``: spellings of the same choice."""
    key, _, value = override.replace(" ", "").partition("=")
    if re.fullmatch(r"\[[\w-]+\]", value) and "." not in key:
        value = value[1:-1]
    return f"{key}={value}"
