"""Replaces a part together with what the experiment tuned for it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from regrun.config.catalogue import SEVERAL, SINGLE
from regrun.config.scales import find_config, lineage
from regrun.config.typed import config_folders, task_overrides
from regrun.errors import UserError


def recombined(cfg: DictConfig) -> DictConfig:
    """The config with each newly chosen component at its own defaults.

    An experiment tunes the components it chooses: ``optimizer.eps`` for its AdamW, ``dataset.modulus`` for
    its modular arithmetic. Hydra would merge these values into whatever component is chosen in the end. If
    the command line, or an experiment that builds on another, chooses another component, it gets its own
    defaults here, plus the values set for it from there on.

    Args:
        cfg: a composed config with its ``hydra`` node; not modified.

    Raises:
        UserError: if the command line sets a value of a component, such as a regularizer, that is not chosen.
    """
    result = cfg.copy()
    files = tuning(cfg)
    with open_dict(result):
        for group in SINGLE:
            chosen = cfg.hydra.runtime.choices.get(group)
            tuned = tuned_for(files, group, chosen)
            if chosen is None or len(tuned) == len(files):
                continue
            fresh = component(cfg, group, chosen)
            if fresh is None:
                continue
            result[group] = OmegaConf.merge(fresh, *(file[group] for file in tuned if file.get(group)))
            for key in overridden_keys(cfg, group):
                OmegaConf.update(result, key, OmegaConf.select(cfg, key), force_add=True)
        for group in SEVERAL:
            nodes = result.get(group) or {}
            for name in [name for name, node in nodes.items() if not is_part(node)]:
                if any(key.startswith(f"{group}.{name}.") for key in overridden_keys(cfg, group)):
                    raise UserError(f"{group}.{name} is set, but {name} is not chosen: {group}=[...,{name}]")
                del nodes[name]
    return result


def is_part(node: Any) -> bool:
    """Whether a node is a chosen component, and not only values set for one."""
    return not isinstance(node, DictConfig) or "_target_" in node


def component(cfg: DictConfig, group: str, name: str) -> dict[str, Any] | None:
    """A component as its file defines it, with the components it takes from its own group.

    ``None`` if there is no such file, or if it is composed in another way.
    """
    fresh = find_config(config_folders(cfg), f"{group}/{name}")
    if fresh is None:
        return None
    for part in fresh.pop("defaults", []):
        if part == "_self_":
            continue
        other, at, key = str(part).removeprefix(f"/{group}/").partition("@")
        whole = component(cfg, group, other) if at else None
        if whole is None:
            return None
        fresh[key] = whole | fresh.get(key, {})
    return fresh


def tuning(cfg: DictConfig) -> list[dict[str, Any]]:
    """The files that choose and tune components, in order of precedence.

    These are regrun's defaults, the experiment after its parents, and its scale.
    """
    name = str(cfg.hydra.runtime.choices.experiment)
    folders = config_folders(cfg)
    found = (find_config(folders, "config"), find_config(folders, f"scale_for/{name}-{cfg.scale}"))
    defaults, scale = ([content] if content is not None else [] for content in found)
    return [*defaults, *lineage(folders, name), *scale]


def tuned_for(files: Sequence[Mapping[str, Any]], group: str, chosen: object) -> Sequence[Mapping[str, Any]]:
    """The files that tune the chosen component of a group, from the one that chose it on.

    All of them if none chose another before; none if none chose it.
    """
    since = 0
    choice = None
    for k, file in enumerate(files):
        for entry in file.get("defaults") or []:
            for key, value in entry.items() if isinstance(entry, Mapping) else ():
                if re.sub(r"^(override )?/?", "", str(key)) == group and value != choice:
                    choice = value
                    since = k if any(other.get(group) for other in files[:k]) else 0
    return files[since:] if choice == chosen else []


def overridden_keys(cfg: DictConfig, group: str) -> list[str]:
    """The keys below a group that the command line sets."""
    keys = [word.split("=", 1)[0].lstrip("+") for word in task_overrides(cfg)]
    return [key for key in keys if key.startswith(f"{group}.")]
