"""regrun as a Hydra application: resolvers, search path, and errors in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from regrun.config.arms import arm_name, folder_name, read_arms
from regrun.config.choices import check_names
from regrun.config.environment_values import register_environment
from regrun.config.explaining import explain
from regrun.config.hydra_settings import (
    CONFIG_NAME,
    HYDRA_VERSION_BASE,
    check_hydra_node,
    check_plugins,
    check_typed,
    parse_overrides,
)
from regrun.config.identity import fingerprint
from regrun.config.recombine import recombined
from regrun.config.scales import scale_choices
from regrun.config.source import register_source
from regrun.config.typed import task_overrides
from regrun.errors import UserError, one_line
from regrun.paths import conf_dir


def prepare_hydra() -> None:
    """Register regrun's config source and the resolvers ``${regrun.record:}`` and ``${oc.env:...}``."""
    register_environment()
    register_source()
    OmegaConf.register_new_resolver("regrun.record", lambda *, _root_: str(record_path(_root_)), replace=True)


def record_path(cfg: DictConfig) -> Path:
    """Path of a run's record relative to ``outputs``: ``<experiment>/<arm>/seed<k>-<identity>``.

    Args:
        cfg: a composed config with its ``hydra`` node.
    """
    arms = read_arms(OmegaConf.to_container(cfg.arms, resolve=True))  # type: ignore[arg-type]
    arm = arm_name(task_overrides(cfg), arms)
    identity = fingerprint(plain_config(cfg))
    return find_record(Path(cfg.outputs), experiment_name(cfg), arm, cfg.seed, identity)


def find_record(outputs: Path, experiment: str, arm: str, seed: int, identity: str) -> Path:
    """Path of a record relative to ``outputs``: under the arm that first ran it, else under ``arm``."""
    leaf = f"seed{seed}-{identity}"
    for existing in sorted((outputs / experiment).glob(f"*/{leaf}")):
        return existing.relative_to(outputs)
    return Path(experiment) / folder_name(arm) / leaf


def experiment_name(cfg: DictConfig) -> str:
    """The chosen experiment; ``custom`` if the parts are picked by hand."""
    return str(cfg.hydra.runtime.choices.experiment)


def plain_config(cfg: DictConfig) -> dict[str, Any]:
    """The run's config, recombined and resolved, as plain dictionaries and lists.

    Args:
        cfg: a composed config with its ``hydra`` node, which is not part of the result.

    Raises:
        UserError: if a value is missing or an interpolation fails.
    """
    own = recombined(cfg)
    with open_dict(own):
        del own["hydra"]
    try:
        plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, UserError):  # raised by one of regrun's resolvers
            raise error.__cause__ from error
        raise UserError(one_line(str(error).split("\n")[0])) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def compose_config(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose a config as the command does, with its ``hydra`` node.

    Args:
        overrides: words after ``regrun``, without sweeps.
        config_dir: a folder of the user's own configs.

    Raises:
        UserError: in plain words, with the nearest right spelling.
    """
    prepare_hydra()
    check_typed(overrides)
    check_names(overrides)
    search = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base=HYDRA_VERSION_BASE):
        try:
            folders = [conf_dir(), *([Path(config_dir)] if config_dir else [])]
            words = [*overrides, *scale_choices(overrides, folders), *search]
            cfg = compose(CONFIG_NAME, words, return_hydra_config=True)
        except Exception as error:  # a config can make Hydra raise anything
            raise explain(error, overrides, search) from error
    if search:
        check_hydra_node(cfg, words)
    check_plugins(cfg)
    return cfg


def first_job(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep's first job."""
    job = []
    for override in parse_overrides(overrides):
        if not override.is_discrete_sweep():
            job.append(str(override.input_line))
            continue
        try:
            job.append(f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}")
        except HydraException:  # a glob, which only Hydra's own parser can expand
            continue
    return job


def unswept(overrides: Sequence[str]) -> list[str]:
    """The overrides that all jobs of a sweep share."""
    return [str(word.input_line) for word in parse_overrides(overrides) if not word.is_discrete_sweep()]
