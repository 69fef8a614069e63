"""Parts picked anew, freed of what the experiment had tuned for the parts they replace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    the command line, or an experiment that builds on another, chooses another one, that one comes with its
    own defaults here, and with what is said of it from there on.

    Args:
        cfg: a composed config with its ``hydra`` node; left as it is.

    Raises:
        UserError: if the command line sets something of a regularizer, say, that is not chosen.
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


def tuning(cfg: DictConfig) -> list[dict[str, Any]]:
    """The files that choose components and tune them, in the order in which they act.

    These are regrun's defaults, the experiment with those that it builds on, and its scale.
    """
    name = str(cfg.hydra.runtime.choices.experiment)
    scale = find_config(cfg, f"scale_for/{name}-{cfg.scale}")
    return [
        *(read_yaml(file) for file in [find_config(cfg, "config")] if file),
        *lineage(cfg, name),
        *([read_yaml(scale)] if scale else []),
    ]


def lineage(cfg: DictConfig, name: str) -> list[dict[str, Any]]:
    """An experiment's file, after those of the experiments that it builds on."""
    file = find_config(cfg, f"experiment/{name}")
    content = read_yaml(file) if file else {}
    return [found for parent in parents(content) for found in lineage(cfg, parent)] + [content]


def parents(content: Mapping[str, Any]) -> list[str]:
    """The experiments that an experiment's file builds on: ``defaults: [grokking, _self_]``."""
    return [
        entry.removeprefix("/experiment/")
        for entry in content.get("defaults") or []
        if isinstance(entry, str) and entry != "_self_"
    ]


def tuned_for(files: Sequence[Mapping[str, Any]], group: str, chosen: object) -> Sequence[Mapping[str, Any]]:
    """The files that tune the component that is chosen of a group: all from the one on that chose it.

    All of them, where none has chosen another before; none, where none has chosen it.
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
