"""Which environment variables may enter a config, and so a record: paths and counts, no secrets."""

from __future__ import annotations

import os
import re
from typing import Any

from omegaconf import OmegaConf

from regrun.errors import UserError

ENVIRONMENT_VARIABLE = "REGRUN_ENV"
OWN = "REGRUN_DATA"  # used by config.yaml
NAMES = re.compile(
    r"(^|_)(DIR|DIRECTORY|PATH|ROOT|HOME|DATA|SCRATCH|TMP|TMPDIR|CPUS|THREADS|NTASKS|GPUS|DEVICES)$"
)
VALUES = re.compile(r"[~./][^\0\n]*|[A-Za-z]:\\[^\0\n]*|\d{1,6}")  # an absolute path, or a count
SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH(?!OR)|JWT|COOKIE")
NO_SECRETS = ("PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY")
SHORTEST = 8  # shorter values could match by chance
_MISSING = object()


def register_environment() -> None:
    """Restrict ``${oc.env:NAME,default}`` to paths and counts; OmegaConf's own reads everything."""
    OmegaConf.register_new_resolver("oc.env", read_environment, replace=True)


def read_environment(name: str, default: Any = _MISSING) -> Any:
    """The value of an environment variable, if a config may read it.

    A config may read variables whose name says path or count, such as ``SCRATCH_DIR`` or ``SLURM_CPUS``, and
    variables that the user lists in ``REGRUN_ENV`` (comma-separated).

    Args:
        name: name of the variable.
        default: value if it is not set.

    Raises:
        UserError: if a config may not read it, or if it is not set and has no default.
    """
    if not may_be_read(name):
        raise UserError(
            f"${{oc.env:{name}}}: a config may read variables that are called after paths and counts "
            f"(..._DIR, ..._PATH, ..._THREADS); {ENVIRONMENT_VARIABLE}={name} lets it read this one"
        )
    value = os.environ.get(name)
    if value is None:
        if default is _MISSING:
            raise UserError(f"${{oc.env:{name}}}: {name} is not set, and the config has no default for it")
        return default if default is None else str(default)
    if name not in named_by_user() and not VALUES.fullmatch(value):
        raise UserError(
            f"${{oc.env:{name}}}: expected a path that begins with / or ., or a count; "
            f"{ENVIRONMENT_VARIABLE}={name} lets a config read what it is"
        )
    return value


def may_be_read(name: str) -> bool:
    """Whether a config may read an environment variable of this name."""
    return name in named_by_user() or bool(NAMES.search(name) and not is_secret(name))


def named_by_user() -> list[str]:
    """The variables that the user lets configs read, and regrun's own."""
    return [OWN, *os.environ.get(ENVIRONMENT_VARIABLE, "").replace(",", " ").split()]


def is_secret(name: str) -> bool:
    """Whether a variable's name says that it holds a key or a password."""
    return name not in NO_SECRETS and bool(SECRET_NAMES.search(name.upper()))


def check_secrets(config: Any) -> None:
    """Check that a config holds no secret of the environment.

    Raises:
        UserError: if it does, with the name of the variable.
    """
    text = str(config)
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and is_secret(name) and value in text:
            raise UserError(f"the config holds the content of {name}, which must not land in a record")
