"""regrun as a Hydra application: its resolvers, its search path, and its errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from regrun.arms import arm_name, read_arms
from regrun.catalogue import COMPONENT_GROUPS, components
from regrun.errors import UserError, nearest, one_line
from regrun.identity import fingerprint
from regrun.paths import conf_dir
from regrun.recombine import recombined
from regrun.whitelist import check_target_names

CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"
GROUPS = ("experiment", "scale_for", *COMPONENT_GROUPS)


def register_resolvers() -> None:
    """Teach OmegaConf where a run's record lies: ``${regrun.record:}`` below ``outputs``."""
    OmegaConf.register_new_resolver("regrun.record", lambda *, _root_: str(record_path(_root_)), replace=True)


def record_path(cfg: DictConfig) -> Path:
    """A run's record, relative to ``outputs``: ``<experiment>/<arm>/seed<k>-<identity>``.

    Args:
        cfg: a composed config with its ``hydra`` node.
    """
    arms = read_arms(OmegaConf.to_container(cfg.arms, resolve=True))  # type: ignore[arg-type]
    arm = arm_name(list(cfg.hydra.overrides.task), arms)
    identity = fingerprint(plain_config(cfg))
    return find_record(Path(cfg.outputs), experiment_name(cfg), arm, cfg.seed, identity)


def find_record(outputs: Path, experiment: str, arm: str, seed: int, identity: str) -> Path:
    """A record relative to ``outputs``: under whatever arm's name it was first run, else under ``arm``."""
    leaf = f"seed{seed}-{identity}"
    for existing in sorted((outputs / experiment).glob(f"*/{leaf}")):
        return existing.relative_to(outputs)
    return Path(experiment) / arm / leaf


def experiment_name(cfg: DictConfig) -> str:
    """The chosen experiment; ``custom`` where the parts are picked by hand."""
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
        raise UserError(one_line(str(error).split("\n")[0])) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def compose_config(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose a config as the command would, with Hydra's own node.

    Args:
        overrides: what one types after ``regrun``, without sweeps.
        config_dir: a folder of the user's own configs.

    Raises:
        UserError: in plain words, with the nearest right spelling.
    """
    register_resolvers()
    search = [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"] if config_dir else []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base=HYDRA_VERSION_BASE):
        try:
            return compose(CONFIG_NAME, [*overrides, *search], return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides, search) from error
        except yaml.YAMLError as error:
            raise UserError(f"a config is not valid YAML: {one_line(error)}") from error


def check_command(overrides: Sequence[str], config_dir: str | None, multirun: bool) -> DictConfig:
    """Compose the command's config once before Hydra acts on it, and check every ``_target_`` it names.

    Of a sweep, the first job is checked here, and each job's own config before it runs. Returns the config.

    Raises:
        UserError: in plain words.
    """
    if config_dir is not None:
        check_config_dir(Path(config_dir))
    cfg = compose_config(first_job(overrides) if multirun else overrides, config_dir)
    check_target_names(plain_config(cfg))
    check_target_names({"hydra": OmegaConf.to_container(cfg.hydra, resolve=False)})
    return cfg


def check_config_dir(folder: Path) -> None:
    """Raise ``UserError`` unless a folder can be read and holds configs of regrun's groups."""
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder")
    try:
        groups = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    except OSError as error:
        raise UserError(f"--config-dir {folder} cannot be read: {error.strerror}") from error
    if not groups & {*GROUPS, "matrix"}:
        raise UserError(
            f"--config-dir {folder} holds no regrun configs: expected folders such as experiment/, "
            "dataset/ or regularizer/ with .yaml files"
        )


def first_job(overrides: Sequence[str]) -> list[str]:
    """The overrides of a sweep's first job."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise explain(error, overrides) from error
    job = []
    for override in parsed:
        if not override.is_discrete_sweep():
            job.append(str(override.input_line))
            continue
        try:
            job.append(f"{override.get_key_element()}={next(iter(override.sweep_string_iterator()))}")
        except HydraException:  # a glob, which only Hydra's own parser can expand
            continue
    return job


def explain(error: Exception, overrides: Sequence[str], search: Sequence[str] = ()) -> UserError:
    """Hydra's error as one line, with the nearest right spelling where a name is wrong."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.removesuffix(".yaml").rpartition("/")
        known = [option for option in error.options or [] if option != name]
        known = known or [entry.name for entry in components() if entry.group == group]
        if not group:
            return UserError(f"there is no config {name!r}")
        hint = nearest(name, known) or (f" (known: {', '.join(sorted(known))})" if known else "")
        return UserError(f"unknown {group} {name!r}{hint}")
    text = str(error).split("\n")[0]
    if isinstance(error, OverrideParseException):
        return UserError(f"cannot read {error.override!r}: {one_line(text)}")
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1].split("@")[0]
        return UserError(f"unknown key {key!r}{nearest(key, known_keys(key, overrides, search))}")
    cause = error.__cause__
    detail = (
        f": {one_line(str(cause).split(chr(10))[0])}" if isinstance(cause, OmegaConfBaseException) else ""
    )
    return UserError(one_line(text) + detail)


def known_keys(wrong: str, overrides: Sequence[str], search: Sequence[str]) -> list[str]:
    """Every dotted key of the config that the other overrides compose."""
    others = [override for override in overrides if not re.match(rf"[+~]*{re.escape(wrong)}\b", override)]
    try:
        cfg = compose(CONFIG_NAME, [*others, *search])
    except (HydraException, OmegaConfBaseException):
        return list(GROUPS)
    return [*GROUPS, *dotted_keys(OmegaConf.to_container(cfg, resolve=False))]


def dotted_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key below a node."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        key = f"{prefix}{name}"
        yield key
        yield from dotted_keys(value, f"{key}.")
