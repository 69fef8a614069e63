"""regrun as a Hydra application: its resolvers, its search path, and its errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from regrun.arms import arm_name, folder_name, read_arms
from regrun.catalogue import names, parents
from regrun.config.scales import scale_choices
from regrun.config.source import register_source
from regrun.config_files import GROUPS, folders_of
from regrun.effect import check_read
from regrun.environment_values import register_environment
from regrun.errors import UserError, nearest, one_line
from regrun.hydra_settings import (
    CONFIG_NAME,
    HYDRA_VERSION_BASE,
    check_hydra_node,
    check_plugins,
    check_typed,
    parse_overrides,
    task_overrides,
    unreadable,
)
from regrun.identity import fingerprint
from regrun.paths import conf_dir
from regrun.placement import in_brief
from regrun.recombine import SEVERAL, SINGLE, find_config, recombined
from regrun.run_values import check_run_values
from regrun.whitelist import check_target_names

LISTED = 8  # names in a message


def prepare_hydra() -> None:
    """Teach Hydra how a paper's file is read, and what ``${regrun.record:}`` and ``${oc.env:...}`` are."""
    register_environment()
    register_source()
    OmegaConf.register_new_resolver("regrun.record", lambda *, _root_: str(record_path(_root_)), replace=True)


def record_path(cfg: DictConfig) -> Path:
    """A run's record, relative to ``outputs``: ``<experiment>/<arm>/seed<k>-<identity>``.

    Args:
        cfg: a composed config with its ``hydra`` node.
    """
    arms = read_arms(OmegaConf.to_container(cfg.arms, resolve=True))  # type: ignore[arg-type]
    arm = arm_name(task_overrides(cfg), arms)
    identity = fingerprint(plain_config(cfg))
    return find_record(Path(cfg.outputs), experiment_name(cfg), arm, cfg.seed, identity)


def find_record(outputs: Path, experiment: str, arm: str, seed: int, identity: str) -> Path:
    """A record relative to ``outputs``: under whatever arm's name it was first run, else under ``arm``."""
    leaf = f"seed{seed}-{identity}"
    for existing in sorted((outputs / experiment).glob(f"*/{leaf}")):
        return existing.relative_to(outputs)
    return Path(experiment) / folder_name(arm) / leaf


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
        if isinstance(error.__cause__, UserError):  # of regrun's own resolvers
            raise error.__cause__ from error
        raise UserError(one_line(str(error).split("\n")[0])) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def checked_config(cfg: DictConfig) -> dict[str, Any]:
    """The run's config, once all of it has been checked that can be without importing what it names.

    Args:
        cfg: a composed config with its ``hydra`` node.

    Raises:
        UserError: if a name is a path, if nothing reads a value that was set, if a value is not what regrun
            expects of it, or if a ``_target_`` is not named in a trusted package.
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
    """Raise ``UserError`` for a folder's name under which no folder can be: too long, or a loop of links."""
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


def check_choices(choices: Mapping[str, Any]) -> None:
    """Raise ``UserError`` for a choice that is no name: one that leads out of its group's folder."""
    for group, chosen in choices.items():
        for name in chosen if isinstance(chosen, Sequence) and not isinstance(chosen, str) else [chosen]:
            words = str(name).split("/")
            if not all(words) or {".", ".."} & {*words} or "\0" in str(name):
                raise UserError(f"{group}={name}: expected a name, not a path")


def check_names(overrides: Sequence[str]) -> None:
    """Raise ``UserError`` for a group that is given something else than names."""
    for override in parse_overrides(overrides):
        group, value = override.key_or_group, override.value()
        chooses = group in GROUPS and not override.is_delete() and not override.is_sweep_override()
        if chooses and not isinstance(value, str | QuotedString | list):
            raise UserError(f"{override.input_line}: expected {one_of(group)}")


def one_of(group: str) -> str:
    """What may be chosen of a group, in words."""
    known = names(group)
    none = next((f"; {group}={name} chooses none" for name in ("none", "csv") if name in known), "")
    return f"a name ({', '.join(known[:LISTED])}{', ...' if len(known) > LISTED else ''}){none}"


def check_groups(cfg: DictConfig) -> None:
    """Raise ``UserError`` for a group that was emptied, on which other parts count."""
    for group in (*SINGLE, *SEVERAL, "logger", "trainer"):
        if not isinstance(cfg.get(group), DictConfig):
            raise UserError(f"{group}: expected {one_of(group)}")


def check_scale(cfg: DictConfig) -> None:
    """Raise ``UserError`` for a scale that an experiment lacks and that one which it builds on has.

    It would run at the size of the other's ``small``, and say otherwise.
    """
    name, scale = experiment_name(cfg), str(cfg.scale)
    if find_config(cfg, f"scale_for/{name}-{scale}") is not None:
        return
    for parent in parents(find_config(cfg, f"experiment/{name}") or {}):
        if find_config(cfg, f"scale_for/{parent}-{scale}") is not None:
            raise UserError(
                f"the experiment {name} has no scale {scale}, and {parent}, which it builds on, has one: "
                f"scales: {{{scale}: {{like: {parent}}}}} in its file keeps to it"
            )


def compose_config(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose a config as the command would, with Hydra's own node.

    Args:
        overrides: what one types after ``regrun``, without sweeps.
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
        except Exception as error:  # Hydra raises whatever a config leads it to
            raise explain(error, overrides, search) from error
    if search:
        check_hydra_node(cfg, words)
    check_plugins(cfg)
    return cfg


def check_command(overrides: Sequence[str], config_dir: str | None, multirun: bool) -> DictConfig:
    """Compose the command's config once before Hydra acts on it, and check every ``_target_`` it names.

    Of a sweep, the first job is checked here, and each job's own config before it runs. Returns the config.

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


def explain(error: Exception, overrides: Sequence[str], search: Sequence[str] = ()) -> UserError:
    """Hydra's error as one line, with the nearest right spelling where a name is wrong."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.removesuffix(".yaml").rpartition("/")
        if group.startswith("procedure/"):  # of a paper
            group, name = "procedure", f"{group.removeprefix('procedure/')}/{name}"
        known = names(group) if group == "procedure" else []  # those of papers, too
        known = known or [option for option in error.options or [] if option != name] or names(group)
        if not group:
            return UserError(f"there is no config {name!r}")
        hint = nearest(name, known) or (f" (known: {', '.join(sorted(known))})" if known else "")
        return UserError(f"unknown {group} {name!r}{hint}")
    if isinstance(error, yaml.YAMLError):
        return UserError(f"a config is not valid YAML: {one_line(error)}")
    if isinstance(error, RecursionError):
        return UserError("a config is nested too deeply, or takes its defaults from itself")
    first, *more = [line.strip() for line in str(error).splitlines() if line.strip()] or [
        type(error).__name__
    ]
    text = f"{first} {more[0]}" if first.endswith(":") and more else first
    if isinstance(error, OverrideParseException):
        return unreadable(error)
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
