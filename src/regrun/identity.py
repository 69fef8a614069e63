"""What makes two runs the same run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

IDENTITY_LENGTH = 10


def fingerprint(config: Mapping[str, Any]) -> str:
    """A run's identity: a hash of what was asked that affects its numbers, and of nothing else.

    That is the resolved procedure (dataset, model, optimizer, regularizers, probes, budget, ...), the
    seed, the precision, and whether probes may be left out. Names, paths, loggers and the machine are not
    part of it: what a run was computed on stands in its record. Two configs that differ only in the order of
    keys are the same, except for augmentations and regularizers, whose order is the order in which they act.

    Args:
        config: the resolved config, as plain dictionaries and lists.
    """
    procedure = dict(config["procedure"])
    for ordered in ("augmentations", "regularizers"):
        if isinstance(named := procedure.get(ordered), Mapping):
            procedure[ordered] = list(named.items())
    asked = {
        "procedure": procedure,
        "seed": config["seed"],
        "precision": config["trainer"]["precision"],
    }
    if config.get("probe_errors") == "skip":
        asked["probe_errors"] = "skip"
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:IDENTITY_LENGTH]
