"""Refuses settings that no run reads, instead of ignoring them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regrun.config.typed import task_overrides
from regrun.errors import UserError

# Keys that regrun itself reads, whatever the procedure.
READ_BY_REGRUN = (
    "procedure", "trainer", "logger", "resources", "hydra", "seed", "seeds", "scale", "scale_for",
    "experiment", "outputs", "data_dir", "force", "probe_errors", "checkpoint_seconds", "engine",
    "paper", "arms", "claims", "report",
)  # fmt: skip
# Groups that another group's part reads, with that group.
READERS = {"label_noise": "dataset", "pixels": "dataset", "attention": "model"}
NEUTRAL = {"label_noise": "clean", "pixels": "original", "attention": "softmax"}
MADE = ("procedure", "logger", "trainer")  # what a run is made of
REFERENCE = re.compile(r"\$\{([A-Za-z_][\w./@-]*)\}")


def check_read(cfg: DictConfig, config: DictConfig) -> None:
    """Check that the run reads every part that is chosen and every value that is set.

    Args:
        cfg: composed, with its ``hydra`` node.
        config: the same, recombined.

    Raises:
        UserError: names the first that no part of the run reads, and who would have to.
    """
    raw: Any = OmegaConf.to_container(config, resolve=False)
    read = set(references(raw))
    lines = task_overrides(cfg)
    keys = [line.split("=", 1)[0].lstrip("+~").split("@")[0].replace("/", ".") for line in lines]
    for key, line in zip(keys, lines, strict=True):
        if key.split(".")[0] not in READ_BY_REGRUN and not touches(key, read):
            raise UserError(f"{line} would change nothing: {who_does_not_read(key, cfg)}")
    # An experiment's own choices may be for some of its arms, but not where another reader was chosen.
    for group, reader in READERS.items():
        chosen = cfg.hydra.runtime.choices.get(group)
        if reader in keys and touches(reader, read) and not touches(group, read) and chosen != NEUTRAL[group]:
            raise UserError(
                f"{group}={chosen} would change nothing: {who_does_not_read(group, cfg)} "
                f"({group}={NEUTRAL[group]} leaves it out)"
            )


def references(raw: Mapping[str, Any]) -> Iterator[str]:
    """Every key that a run's parts refer to by ``${key}``, directly or through others."""
    seen: set[str] = set()
    waiting: list[Any] = [raw.get(name) for name in MADE]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, str):
            for key in REFERENCE.findall(node):
                if key not in seen:
                    seen.add(key)
                    yield key
                    waiting.append(select(raw, key))


def select(raw: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; ``None`` if there is none."""
    node: Any = raw
    for word in key.split("."):
        node = node.get(word) if isinstance(node, Mapping) else None
    return node


def touches(key: str, read: set[str]) -> bool:
    """Whether a key, a part of it or a node above it is read."""
    return any(f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.") for other in read)


def who_does_not_read(key: str, cfg: DictConfig) -> str:
    """A message that names the part which does not read a key."""
    choices = cfg.hydra.runtime.choices
    group = key.split(".")[0]
    if group in READERS:
        return f"the {READERS[group]} {choices.get(READERS[group])} does not read {group}"
    if group in cfg:
        return f"the procedure {choices.get('procedure')} does not read {group}"
    return f"nothing reads {key}"
