"""The typed overrides of a composed config."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from regrun.config.hydra_settings import raw_list
from regrun.config.scales import scale_choices


def task_overrides(cfg: DictConfig) -> list[str]:
    """The overrides that a config was composed with, as typed.

    Args:
        cfg: a composed config with its ``hydra`` node.
    """
    words = raw_list(cfg.hydra.overrides.task)
    places = [word for word in words if word.startswith(("experiment=", "scale="))]
    added = scale_choices(places, config_folders(cfg))
    return [word for word in words if word not in added]


def config_folders(cfg: DictConfig) -> list[Path]:
    """The config folders that a config was composed from."""
    sources = [source for source in cfg.hydra.runtime.config_sources if source.schema == "file"]
    return [Path(str(source.path).removeprefix("file://")) for source in sources]
