"""Restricts what may be set in Hydra's own node: the launcher and the sweeper, on the command line.

Hydra would take code (callbacks), environment variables, log files and folders from any config. Here its
node is fixed by regrun's own configs, except for what the user types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf

from regrun.config.placement import in_brief
from regrun.config.whitelist import find_targets, users_packages
from regrun.errors import UserError, nearest, one_line
from regrun.paths import conf_dir

CONFIG_NAME = "config"
HYDRA_VERSION_BASE = "1.3"
PLUGINS = (
    "hydra_plugins.regrun_launchers.PackedLauncher",
    "hydra_plugins.regrun_launchers.SlurmLauncher",
    "hydra_plugins.regrun_launchers.RayLauncher",
    "hydra_plugins.regrun_sweeper.RegrunSweeper",
    "hydra_plugins.regrun_sweeper.ArmsSweeper",
    "hydra_plugins.regrun_sweeper.JobsSweeper",
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
)
TYPED = ("launcher", "sweeper", "verbose")  # keys that the command line may set
FILLED = ("runtime", "overrides", "searchpath")  # filled in by Hydra, or read only from regrun's own file
FILLED_OF_JOB = ("name", "override_dirname", "id", "num", "config_name")
INSTEAD = {
    "run": "outputs=DIR says where records go",
    "sweep": "outputs=DIR says where records go",
    "searchpath": "--config-dir DIR is where your own configs lie",
    "mode": "-m makes a sweep",
}


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parse overrides with Hydra's grammar.

    Raises:
        UserError: if one cannot be parsed, with its text.
    """
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise unreadable(error) from error
    except RecursionError as error:
        raise UserError("an override is nested too deeply to be read") from error


def unreadable(error: OverrideParseException) -> UserError:
    """The error for an override that Hydra cannot parse, with a hint on quoting."""
    key, equals, value = str(error.override).partition("=")
    said = f"cannot read {in_brief(error.override)}"
    if equals and re.fullmatch(r"[\w.+~/@]+", key) and value.isprintable():
        text = value.replace("\\", r"\\").replace('"', r"\"")
        said += f"; as text it is quoted twice: '{key}=\"{text}\"'"
    reason = one_line(str(error).split("\n")[0])
    return UserError(said if reason.startswith("Lexer") else f"{said} ({in_brief(reason)})")


def raw_list(node: Any) -> list[str]:
    """A list of words with ``${...}`` unresolved: reading them one by one would resolve it."""
    words: Any = OmegaConf.to_container(node, resolve=False)
    return [str(word) for word in words]


def check_typed(overrides: Sequence[str], allowed: Sequence[str] = TYPED) -> None:
    """Check that no override sets a forbidden key of Hydra; call before Hydra composes them.

    Args:
        overrides: overrides as typed.
        allowed: keys of Hydra's node that they may set.

    Raises:
        UserError: for the first forbidden override, with what to type instead.
    """
    for override in parse_overrides(overrides):
        key, package = override.key_or_group, override.package or ""
        words = (key.replace("/", ".").split("."), package.removeprefix("_global_.").split("."))
        name = next((rest[0] if rest else "" for first, *rest in words if first == "hydra"), None)
        if name is None or (name in allowed and not package):
            continue
        hint = INSTEAD.get(name, "of Hydra's own settings a command may choose the launcher and its values")
        raise UserError(f"{override.input_line}: not with regrun; {hint}")


def check_hydra_node(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Check that Hydra's node comes from regrun's configs and the command line alone.

    Args:
        cfg: composed config, whose sources may include a user's.
        overrides: the overrides it was composed with.

    Raises:
        UserError: for the first key that a config has changed.
    """
    typed = [str(word.input_line) for word in parse_overrides(overrides) if word.is_hydra_override()]
    check_same(cfg, _own_node(tuple(word for word in typed if not word.startswith("hydra.searchpath="))))
    for word in (*raw_list(cfg.hydra.overrides.task), *raw_list(cfg.hydra.overrides.hydra)):
        if word not in overrides:
            raise UserError(f"hydra.overrides: a config may not type for you ({word})")


def check_same(cfg: DictConfig, reference: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if a config has changed Hydra's node, except for what Hydra fills in."""
    found: Any = OmegaConf.to_container(cfg.hydra, resolve=False)
    for name in {*found, *reference}:
        mine, theirs = found.get(name), reference.get(name)
        if name in FILLED:
            continue
        if name == "job":
            mine, theirs = (
                {key: value for key, value in node.items() if key not in FILLED_OF_JOB}
                for node in (found[name], reference[name])
            )
        if mine != theirs:
            hint = f": {INSTEAD[name]}" if name in INSTEAD else ""
            raise UserError(f"hydra.{name} is not for a config to set{hint}")


@lru_cache(8)
def _own_node(typed: tuple[str, ...]) -> Mapping[str, Any]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base=HYDRA_VERSION_BASE):
        try:
            node: Any = compose(CONFIG_NAME, list(typed), return_hydra_config=True).hydra
        except HydraException as error:
            raise UserError(
                f"{' '.join(typed)}: only regrun's own launchers and sweepers can be chosen "
                f"({one_line(str(error).split(chr(10))[0])})"
            ) from error
    return OmegaConf.to_container(node, resolve=False)  # type: ignore[return-value]


def check_plugins(cfg: DictConfig) -> None:
    """Check that the launcher and the sweeper are regrun's, Hydra's or from a package that the user trusts.

    Raises:
        UserError: for the first that is not.
    """
    if not isinstance(cfg.hydra.verbose, bool | str | ListConfig):
        raise UserError(f"hydra.verbose: expected true, false or names of loggers, got {cfg.hydra.verbose!r}")
    for name in TYPED[:2]:
        node = OmegaConf.to_container(cfg.hydra[name], resolve=False)
        for key, target in find_targets(node):
            trusted = any(target.startswith(f"{package}.") for package in users_packages())
            if key != "_target_" or not (target in PLUGINS or trusted):
                hint = nearest(target, PLUGINS)
                raise UserError(f"hydra.{name}.{key}: {target} is not a {name} that can be chosen{hint}")
