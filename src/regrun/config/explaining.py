"""Hydra's errors in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from hydra import compose
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regrun.config.catalogue import names
from regrun.config.hydra_settings import CONFIG_NAME, unreadable
from regrun.config.user_files import GROUPS
from regrun.errors import UserError, nearest, one_line


def explain(error: Exception, overrides: Sequence[str], search: Sequence[str] = ()) -> UserError:
    """One line for Hydra's error, with the nearest right spelling of a wrong name."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.removesuffix(".yaml").rpartition("/")
        if group.startswith("procedure/"):  # a paper's procedure
            group, name = "procedure", f"{group.removeprefix('procedure/')}/{name}"
        known = names(group) if group == "procedure" else []  # includes the papers' procedures
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
    """Every dotted key of the config composed from the other overrides."""
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
