"""Checks of a config that need no import of its components."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from regrun.config.arms import read_arms
from regrun.config.catalogue import parents
from regrun.config.choices import check_choices, check_groups
from regrun.config.composing import compose_config, experiment_name, first_job, plain_config, unswept
from regrun.config.effect import check_read
from regrun.config.hydra_settings import check_typed
from regrun.config.placement import in_brief
from regrun.config.recombine import recombined
from regrun.config.run_values import SCALES, check_run_values
from regrun.config.scales import find_config
from regrun.config.typed import config_folders
from regrun.config.user_files import folders_of
from regrun.config.whitelist import check_target_names
from regrun.errors import UserError


def checked_config(cfg: DictConfig) -> dict[str, Any]:
    """Check a run's config as far as possible without importing its components, and return it.

    Args:
        cfg: a composed config with its ``hydra`` node.

    Raises:
        UserError: if a name is a path, if a value that was set is never read, if a value has the wrong type
            or range, or if a ``_target_`` is not in a trusted package.
    """
    check_choices(cfg.hydra.runtime.choices)
    check_groups(cfg)
    check_scale(cfg)
    plain = plain_config(cfg)
    check_read(cfg, recombined(cfg))
    check_run_values(plain)
    read_arms(plain["arms"])
    check_folder("outputs", plain["outputs"])
    check_folder("data_dir", plain["data_dir"])
    check_target_names(plain)
    return plain


def check_folder(key: str, name: str) -> None:
    """Raise ``UserError`` if a folder cannot be created under this name: too long, or a loop of links."""
    try:
        if Path(name).exists() and not Path(name).is_dir():
            raise UserError(f"{key}: {name} is not a folder")
        Path(name).stat()
    except FileNotFoundError:
        return
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{key}: cannot open {in_brief(name)}: {getattr(error, 'strerror', error)}"
        ) from error


def check_scale(cfg: DictConfig) -> None:
    """Raise ``UserError`` for a scale that an experiment lacks: it would run as ``small``."""
    name, scale = experiment_name(cfg), str(cfg.scale)
    if name == "custom" or scale == "small" or has_scale(cfg, name, scale):
        return
    for parent in parents(find_config(config_folders(cfg), f"experiment/{name}") or {}):
        if has_scale(cfg, parent, scale):
            raise UserError(
                f"the experiment {name} has no scale {scale}, and {parent}, which it builds on, has one: "
                f"scales: {{{scale}: {{like: {parent}}}}} in its file keeps to it"
            )
    there = [other for other in SCALES if other == "small" or has_scale(cfg, name, other)]
    raise UserError(
        f"{name} has no {scale} scale, only {' and '.join(there)}; scales: {{{scale}: [...]}} in its file "
        "would say what it changes"
    )


def has_scale(cfg: DictConfig, name: str, scale: str) -> bool:
    """Whether an experiment's own file says what it changes at a scale."""
    return find_config(config_folders(cfg), f"scale_for/{name}-{scale}") is not None


def check_command(overrides: Sequence[str], config_dir: str | None, multirun: bool) -> DictConfig:
    """Compose the command's config before Hydra acts on it, check every ``_target_``, and return it.

    For a sweep, only the first job is checked here; the others are checked before they run.

    Raises:
        UserError: in plain words.
    """
    folders_of([config_dir])
    check_typed(overrides)
    if multirun and config_dir is not None:  # what Hydra itself composes before the sweep
        compose_config(unswept(overrides), config_dir)
    cfg = compose_config(first_job(overrides) if multirun else overrides, config_dir)
    checked_config(cfg)
    return cfg
