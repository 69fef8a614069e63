"""The identity of a run: a hash of the settings that affect its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

IDENTITY_LENGTH = 10
LEAF_LENGTH = 8
# Former names of classes that have moved: identities are computed with them, so old records stay valid.
FORMER = {
    "regrun.papers.degeneracy_interpretability.Degeneracy": "regrun.papers.degeneracy.Degeneracy",
    "regrun.papers.discretisation_drift.FullBatchDescent": "regrun.papers.drift_adjusted.FullBatchDescent",
    "regrun.papers.li2_feature_emergence.FeatureGradient": "regrun.papers.li2_gradient.FeatureGradient",
    "regrun.papers.li2_feature_emergence.SampleThreshold": "regrun.papers.li2_threshold.SampleThreshold",
    "regrun.papers.rethinking_generalization.FiniteSampleExpressivity": (
        "regrun.papers.finite_sample_expressivity.FiniteSampleExpressivity"
    ),
    "regrun.procedures.solver_times.SolverTimes": "regrun.papers.regularized_solvers.SolverTimes",
}


def fingerprint(config: Mapping[str, Any]) -> str:
    """A run's identity: a hash of the settings that affect its numbers, and of nothing else.

    These are the resolved procedure (dataset, model, optimizer, regularizers, probes, budget, ...), the seed,
    the precision, and whether probes may be left out. Names, paths, loggers and the machine do not count; the
    record states the machine. The order of keys does not count, except for augmentations and regularizers,
    which act in that order.

    Args:
        config: the resolved config, as plain dictionaries and lists.
    """
    procedure = dict(config["procedure"])
    for ordered in ("augmentations", "regularizers"):
        if isinstance(named := procedure.get(ordered), Mapping):
            procedure[ordered] = list(named.items())
    asked = {
        "procedure": as_first_named(procedure),
        "seed": config["seed"],
        "precision": config["trainer"]["precision"],
    }
    if config.get("probe_errors") == "skip":
        asked["probe_errors"] = "skip"
    return _digest(json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str), IDENTITY_LENGTH)


def as_first_named(node: Any) -> Any:
    """The config with moved classes under their former names."""
    if isinstance(node, Mapping):
        return {key: as_first_named(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [as_first_named(value) for value in node]
    return FORMER.get(node, node) if isinstance(node, str) else node


def settings(config: Mapping[str, Any]) -> set[str]:
    """A short hash of every key and value that a run's identity depends on, except ``_target_``.

    They tell a config with added keys, which hold the defaults of new parameters, from one with a changed
    value. A class may move.

    Args:
        config: the resolved config, as plain dictionaries and lists.
    """
    asked = {"procedure": config["procedure"], "precision": config["trainer"]["precision"]}
    return {_digest(f"{key}={json.dumps(value, default=str)}", LEAF_LENGTH) for key, value in _leaves(asked)}


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key != "_target_":
                yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, node


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
