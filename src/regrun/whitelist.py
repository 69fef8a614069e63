"""Which Python objects a config may name: a stranger's config must not run a stranger's code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regrun.errors import UserError

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


def check_targets(config: Any) -> None:
    """Walk a config and check every ``_target_`` in it.

    Raises:
        UserError: names the first target that is not trusted, or does not exist.
    """
    for key, target in find_targets(config):
        check_target(key, target)


def find_targets(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every ``(key, target)`` below a config node of plain dictionaries and lists."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            key = f"{path}.{name}" if path else str(name)
            # "()" is how a logging configuration names a callable.
            if name in ("_target_", "()"):
                yield key, str(value)
            else:
                yield from find_targets(value, key)
    elif isinstance(node, list | tuple):
        for k, value in enumerate(node):
            yield from find_targets(value, f"{path}[{k}]")


def check_target(key: str, target: str) -> None:
    """Check one target: named in a trusted package, and truly defined in one.

    Raises:
        UserError: if it is not.
    """
    if key.startswith("hydra.") and target.startswith(HYDRA_OWN):
        return
    trusted = trusted_packages()
    package = next((p for p in trusted if target.startswith(f"{p}.")), None)
    if package is None:
        raise UserError(
            f"{key}: {target} is outside the packages a config may use ({', '.join(trusted)}); "
            f"if you trust it, set {ENVIRONMENT_VARIABLE}={target.split('.')[0]}"
        )
    # A trusted module's own imports are attributes of it: regrun.record.os.system is not regrun's.
    found = locate(key, target)
    home = getattr(found, "__module__", None) or ""
    if not any(home == p or home.startswith(f"{p}.") for p in trusted):
        raise UserError(f"{key}: {target} is really {home}.{getattr(found, '__name__', '?')}, not {package}'s")


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
            if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
                continue
            raise UserError(f"{key}: {target} needs the package {error.name}, which is not installed") from error
        for word in words[cut:]:
            if not hasattr(found, word):
                raise UserError(f"{key}: there is no {word!r} in {module_name}")
            found = getattr(found, word)
        return found
    raise UserError(
        f"{key}: no module {words[0]!r} can be imported; install the package, or run where it lies"
    )
