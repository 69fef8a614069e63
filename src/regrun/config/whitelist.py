"""Which Python objects a config may name: a stranger's config must not run a stranger's code."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regrun.errors import UserError, nearest

# Packages whose components a config may construct.
TRUSTED = ("regrun", "torch.nn", "torch.optim")
ENVIRONMENT_VARIABLE = "REGRUN_TRUST"
MARKS = ("_target_", "_partial_")  # keys that configure how a component is made
_named_by_user: tuple[str, ...] = ()


def read_trust() -> None:
    """Read the packages that the user trusts from ``REGRUN_TRUST`` (comma-separated).

    Call it before any config is read, and in each worker process of a sweep. Trust comes from the user's
    environment, never from a config, which could then vouch for itself.
    """
    global _named_by_user
    _named_by_user = tuple(os.environ.get(ENVIRONMENT_VARIABLE, "").replace(",", " ").split())


read_trust()


def trusted_packages() -> tuple[str, ...]:
    """The trusted packages: regrun's own and the user's."""
    return (*TRUSTED, *_named_by_user)


def users_packages() -> tuple[str, ...]:
    """The packages that the user has named."""
    return _named_by_user


def make_importable() -> None:
    """Make packages that the user trusts importable from the current directory, as ``python -m`` does."""
    if _named_by_user and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def check_target_names(config: Any) -> None:
    """Check that every ``_target_`` in a config is in a trusted package; imports nothing.

    Raises:
        UserError: for the first that is not.
    """
    for path, node in find_nodes(config):
        for mark in node:
            if str(mark).startswith("_") and str(mark).endswith("_") and mark not in MARKS:
                raise UserError(f"{path}.{mark}: a component is made with {' and '.join(MARKS)} alone")
        if not isinstance(node.get("_partial_", False), bool):
            raise UserError(f"{path}._partial_: expected true or false, got {node['_partial_']!r}")
    for key, target in find_targets(config):
        home_of(key, target)


def find_targets(config: Any) -> Iterator[tuple[str, str]]:
    """Every ``(key, target)`` in a config of plain dictionaries and lists."""
    for path, node in find_nodes(config):
        if "_target_" in node:
            yield f"{path}._target_".lstrip("."), str(node["_target_"])


def find_nodes(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every ``(key, dictionary)`` in a config, from the top down."""
    if isinstance(node, Mapping):
        yield path, node
        for name, value in node.items():
            yield from find_nodes(value, f"{path}.{name}".lstrip("."))
    elif isinstance(node, list | tuple):
        for k, value in enumerate(node):
            yield from find_nodes(value, f"{path}[{k}]")


def home_of(key: str, target: str) -> str:
    """The trusted package that contains a target.

    Raises:
        UserError: if none does.
    """
    trusted = trusted_packages()
    for package in trusted:
        if target.startswith(f"{package}."):
            return package
    raise UserError(
        f"{key}: {target} is outside the packages a config may use ({', '.join(trusted)}); "
        f"if you trust it, set {ENVIRONMENT_VARIABLE}={target.split('.')[0]}"
    )


def check_definition(key: str, target: str) -> Any:
    """The object that a target names, which must be public and defined in a trusted package.

    A trusted module's imports are attributes of it: ``regrun.records.record.os.system`` is not regrun's.

    Raises:
        UserError: if there is no such object, or it is not allowed.
    """
    package = home_of(key, target)
    if any(word.startswith("_") for word in target.split(".")):
        raise UserError(f"{key}: {target} is not public")
    found = locate(key, target)
    home = getattr(found, "__module__", None) or ""
    if not any(home == trusted or home.startswith(f"{trusted}.") for trusted in trusted_packages()):
        raise UserError(
            f"{key}: {target} is really {home}.{getattr(found, '__name__', '?')}, not {package}'s"
        )
    return found


def locate(key: str, target: str) -> Any:
    """The object at a dotted path: an attribute of a module.

    Raises:
        UserError: if there is none.
    """
    module_name, _, word = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if not f"{module_name}.".startswith(f"{missing}."):
            raise UserError(f"{key}: {target} needs the package {missing}, which is not installed") from error
        parent, _, last = missing.rpartition(".")
        if parent:
            raise UserError(f"{key}: there is no module {last!r} in {parent}") from error
        raise UserError(
            f"{key}: no module {missing!r} can be imported; install the package, or run where it lies"
        ) from error
    if not hasattr(module, word):
        known = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"{key}: there is no {word!r} in {module_name}{nearest(word, known)}")
    return getattr(module, word)


def is_from(found: Any, package: str) -> bool:
    """Whether an object is defined in a package."""
    home = getattr(found, "__module__", None) or ""
    return home == package or home.startswith(f"{package}.")


def parameters_of(found: Any) -> Mapping[str, inspect.Parameter]:
    """The parameters of a component's constructor or factory function."""
    return inspect.signature(found).parameters
