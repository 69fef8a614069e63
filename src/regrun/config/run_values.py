"""Types and ranges of the config values that regrun itself reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from regrun.config.placement import check_components
from regrun.errors import UserError, nearest, one_line
from regrun.ranges import SEEDS, check_seconds, check_seed

SCALES = ("smoke", "small", "paper")
TYPES: Mapping[str, Any] = {
    "seeds": int,
    "scale": Literal["smoke", "small", "paper"],
    "data_dir": str,
    "outputs": str,
    "force": bool,
    "probe_errors": Literal["refuse", "skip"],
    "engine": Literal["auto", "one_by_one", "vmap"],
    "paper": dict[str, Any],
    "arms": dict[str, Any],
    "claims": dict[str, Any],
    "report": dict[str, Any],
}
NODES = ("procedure", "logger", "trainer", "resources")
# Other options of Lightning's Trainer are refused: they could change figures without changing the identity.
TRAINER: Mapping[str, Any] = {
    "accelerator": str,
    "devices": int | str | list[int],
    "num_nodes": int,
    "strategy": str,
    "precision": str | int,
    "threads": int | None,
    "deterministic": bool | None,
    "benchmark": bool | None,
}
RESOURCES: Mapping[str, Any] = {
    "cpus": int | None,
    "gpus": int | None,
    "memory_gb": float,
    "minutes": float,
}


def check_run_values(config: Mapping[str, Any]) -> None:
    """Check the values that regrun reads of a resolved config, whatever the procedure.

    Raises:
        UserError: for the first bad value, with what was expected.
    """
    for key, wanted in TYPES.items():
        if key not in config:
            raise UserError(f"{key} is missing: every run has one")
        check_components(config[key], wanted, key)
    for key in NODES:
        if not isinstance(config.get(key), Mapping):
            raise UserError(f"{key}: expected keys and values, got {config.get(key)!r}")
    for group, known in (("trainer", TRAINER), ("resources", RESOURCES)):
        for name, value in config[group].items():
            if name not in known:
                hint = nearest(str(name), known) or f" (known: {', '.join(known)})"
                raise UserError(f"unknown key '{group}.{name}'{hint}")
            check_components(value, known[name], f"{group}.{name}")
    try:
        check_seed(config["seed"])
        check_seconds(config["checkpoint_seconds"], "checkpoint_seconds")
    except ValueError as error:
        raise UserError(one_line(error)) from error
    for key, value, low, high in (
        ("seeds", config["seeds"], 1, SEEDS),
        ("trainer.num_nodes", config["trainer"]["num_nodes"], 1, None),
        ("trainer.threads", config["trainer"].get("threads"), 1, 2**15),
    ):
        if value is not None and not low <= value <= (value if high is None else high):
            most = "or more" if high is None else f"to {high}"
            raise UserError(f"{key}: expected {low} {most}, got {value}")
    for key in ("outputs", "data_dir"):
        if not config[key] or "\0" in config[key]:
            raise UserError(f"{key}: expected a folder's name, got {config[key]!r}")
