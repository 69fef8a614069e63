"""Which Python objects a config may name: a stranger's config must not run a stranger's code."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from regrun.errors import UserError, nearest

# Packages whose objects a config may construct; plugins of Hydra are checked by Hydra itself.
TRUSTED = ("regrun", "torch.nn", "torch.optim")
HYDRA_OWN = ("hydra._internal.core_plugins.", "hydra_plugins.")
ENVIRONMENT_VARIABLE = "REGRUN_TRUST"


def trusted_packages() -> tuple[str, ...]:
    """The trusted packages, with those the user names in ``REGRUN_TRUST`` (comma-separated).

    The trust comes from the environment and never from a config, which could then vouch for itself.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE, "").replace(",", " ").split()
    return (*TRUSTED, *named)


def make_importable() -> None:
    """Let packages that the user trusts be imported from the current directory, as with ``python -m``."""
    if os.environ.get(ENVIRONMENT_VARIABLE) and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def check_target_names(config: Any) -> None:
    """Check that every ``_target_`` in a config is named in a trusted package; imports nothing.

    Raises:
        UserError: names the first that is not.
    """
    for key, target in find_targets(config):
        home_of(key, target)


def check_targets(config: Any) -> None:
    """Check that every ``_target_`` in a config is named in a trusted package and defined in one.

    Raises:
        UserError: names the first that is not, or does not exist.
    """
    for key, target in find_targets(config):
        if (package := home_of(key, target)) is not None:
            check_definition(key, target, package)


def find_targets(config: Any) -> Iterator[tuple[str, str]]:
    """Every ``(key, target)`` in a config of plain dictionaries and lists."""
    for path, node in find_nodes(config):
        for name in ("_target_", "()"):  # the second is how a logging configuration names a callable
            if name in node:
                yield f"{path}.{name}".lstrip("."), str(node[name])


def find_nodes(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every ``(key, dictionary)`` in a config, from the top down."""
    if isinstance(node, Mapping):
        yield path, node
        for name, value in node.items():
            yield from find_nodes(value, f"{path}.{name}".lstrip("."))
    elif isinstance(node, list | tuple):
        for k, value in enumerate(node):
            yield from find_nodes(value, f"{path}[{k}]")


def check_parameters(config: Any) -> None:
    """Check that every component's parameters exist and have their types, those of partly built ones too.

    Raises:
        UserError: names the first that does not exist, and the nearest that does; or says what was expected.
    """
    for key, node in find_nodes(config):
        if "_target_" not in node:
            continue
        target = str(node["_target_"])
        found = locate(key, target)
        parameters = inspect.signature(found).parameters
        for name, expected in type_hints(found).items():
            if name in node and not fits(node[name], expected):
                words = getattr(expected, "__name__", str(expected)).replace("None", "null")
                raise UserError(f"{key}.{name}: expected {words}, got {node[name]!r}")
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            continue
        for name in node:
            if name not in parameters and not str(name).startswith("_"):
                hint = nearest(str(name), parameters)
                raise UserError(f"{key}: {target.rpartition('.')[2]} has no parameter {name!r}{hint}")


def type_hints(found: Any) -> dict[str, Any]:
    """The annotations of a callable's parameters, as far as they can be resolved."""
    try:
        return get_type_hints(getattr(found, "__init__") if isinstance(found, type) else found)  # noqa: B009
    except (NameError, TypeError, AttributeError):
        return {}


def fits(value: Any, expected: Any) -> bool:
    """Whether a config's value is of an annotated type; ``True`` for types that configs cannot spell."""
    if isinstance(expected, UnionType) or get_origin(expected) is Union:
        return any(fits(value, member) for member in get_args(expected))
    if expected is type(None):
        return value is None
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected in (str, bool):
        return isinstance(value, expected)
    return True


def home_of(key: str, target: str) -> str | None:
    """The trusted package a target is named in; ``None`` for Hydra's own plugins.

    Raises:
        UserError: if it is named in none.
    """
    if key.startswith("hydra.") and target.startswith(HYDRA_OWN):
        return None
    trusted = trusted_packages()
    for package in trusted:
        if target.startswith(f"{package}."):
            return package
    raise UserError(
        f"{key}: {target} is outside the packages a config may use ({', '.join(trusted)}); "
        f"if you trust it, set {ENVIRONMENT_VARIABLE}={target.split('.')[0]}"
    )


def check_definition(key: str, target: str, package: str) -> None:
    """Check that a target exists and is defined where it is named.

    A trusted module's own imports are attributes of it: ``regrun.record.os.system`` is not regrun's.

    Raises:
        UserError: if it is not.
    """
    found = locate(key, target)
    home = getattr(found, "__module__", None) or ""
    if not any(home == trusted or home.startswith(f"{trusted}.") for trusted in trusted_packages()):
        raise UserError(
            f"{key}: {target} is really {home}.{getattr(found, '__name__', '?')}, not {package}'s"
        )


def locate(key: str, target: str) -> Any:
    """The object a dotted path names.

    Raises:
        UserError: if there is none.
    """
    words = target.split(".")
    for cut in range(len(words) - 1, 0, -1):
        module_name = ".".join(words[:cut])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and (
                module_name == error.name or module_name.startswith(f"{error.name}.")
            ):
                continue
            raise UserError(
                f"{key}: {target} needs the package {error.name}, which is not installed"
            ) from error
        for word in words[cut:]:
            if not hasattr(found, word):
                raise UserError(f"{key}: there is no {word!r} in {module_name}")
            found = getattr(found, word)
        return found
    raise UserError(
        f"{key}: no module {words[0]!r} can be imported; install the package, or run where it lies"
    )
