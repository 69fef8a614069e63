"""Parts picked anew, freed of what the experiment had tuned for the parts they replace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from regrun.catalogue import read_yaml
from regrun.errors import UserError
from regrun.hydra_settings import task_overrides

# Groups of which a run has one member, and groups of which it has several, keyed by name.
SINGLE = ("dataset", "label_noise", "pixels", "attention", "model", "optimizer", "schedule", "procedure")
SEVERAL = ("augmentation", "regularizer", "probe")


def recombined(cfg: DictConfig) -> DictConfig:
    """The config with each component as itself.

    An experiment tunes the components it chooses: ``optimizer.eps`` for its AdamW, ``dataset.modulus`` for
    its modular arithmetic. Hydra merges these values into whatever component is chosen in the end. Where
    the command line chooses another one, that one comes with its own defaults here, and with what the
    command line says of it.

    Args:
        cfg: a composed config with its ``hydra`` node; left as it is.

    Raises:
        UserError: if the command line sets something of a regularizer, say, that is not chosen.
    """
    result = cfg.copy()
    intended = intended_choices(cfg)
    with open_dict(result):
        for group in SINGLE:
            chosen = cfg.hydra.runtime.choices.get(group)
            if chosen is None or chosen == intended.get(group):
                continue
            fresh = component(cfg, group, chosen)
            if fresh is None:
                continue
            result[group] = fresh
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
    """Whether a node is a part that was chosen, and not only values that were set for one."""
    return not isinstance(node, DictConfig) or "_target_" in node


def component(cfg: DictConfig, group: str, name: str) -> dict[str, Any] | None:
    """A component as its file has it, with the parts that it takes from others of its group.

    ``None`` if there is no such file, or if it is composed in some other way.
    """
    file = find_config(cfg, f"{group}/{name}")
    if file is None:
        return None
    fresh = read_yaml(file)
    for part in fresh.pop("defaults", []):
        if part == "_self_":
            continue
        other, at, key = str(part).partition("@")
        whole = component(cfg, group, other) if at else None
        if whole is None:
            return None
        fresh[key] = whole | fresh.get(key, {})
    return fresh


def intended_choices(cfg: DictConfig) -> dict[str, str]:
    """The component of each group that the experiment is tuned for: its own choice, or the default."""
    choices: dict[str, str] = {}
    for name in ("config", f"experiment/{cfg.hydra.runtime.choices.experiment}"):
        file = find_config(cfg, name)
        for entry in (read_yaml(file).get("defaults") or []) if file else []:
            if isinstance(entry, Mapping):
                for key, value in entry.items():
                    choices[re.sub(r"^(override )?/?", "", str(key))] = value
    return choices


def find_config(cfg: DictConfig, name: str) -> Path | None:
    """A config's file, in the first folder of Hydra's search path that has it."""
    for source in cfg.hydra.runtime.config_sources:
        file = Path(str(source.path).removeprefix("file://")) / f"{name}.yaml"
        if source.schema == "file" and file.is_file():
            return file
    return None


def overridden_keys(cfg: DictConfig, group: str) -> list[str]:
    """The keys below a group that the command line sets."""
    keys = [word.split("=", 1)[0].lstrip("+") for word in task_overrides(cfg)]
    return [key for key in keys if key.startswith(f"{group}.")]
