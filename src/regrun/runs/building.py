"""Constructs the components that a config names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from regrun.config.placement import check_components
from regrun.config.whitelist import check_target_names, make_importable, trusted_packages
from regrun.contracts.procedure import Procedure
from regrun.errors import UserError, one_line
from regrun.loggers.base import Logger
from regrun.memory import too_large


def build(config: Mapping[str, Any]) -> tuple[Procedure, list[Logger]]:
    """Construct the procedure, with all its components, and the loggers.

    Raises:
        UserError: if a target is not trusted or does not fit its place, or if a parameter is wrong.
    """
    return build_procedure(config), build_loggers(config)


def build_procedure(config: Mapping[str, Any]) -> Procedure:
    """Construct the procedure alone.

    Raises:
        UserError: as ``build`` does.
    """
    return construct({"procedure": config["procedure"]}, Procedure)["procedure"]


def build_loggers(config: Mapping[str, Any]) -> list[Logger]:
    """Construct the loggers alone.

    Raises:
        UserError: as ``build`` does.
    """
    return list(construct(config["logger"] or {}, Logger, "logger").values())


def construct(nodes: Mapping[str, Any], kind: Any, group: str = "") -> dict[str, Any]:
    """Construct the components of several nodes, all of the same kind.

    Args:
        nodes: configs by name.
        kind: the expected type.
        group: where the nodes stand, for messages.

    Raises:
        UserError: as ``build`` does.
    """
    make_importable()
    check_target_names(nodes)
    for name, node in nodes.items():
        check_components(node, kind, f"{group}.{name}".lstrip("."))

    import hydra.utils
    from hydra.utils import instantiate

    # Hydra 1.4 has a whitelist of its own, which must be satisfied.
    whitelist = getattr(hydra.utils, "execution_whitelist", nullcontext)
    try:
        with whitelist(tuple(f"{package}.*" for package in trusted_packages())):
            return {name: instantiate(node, _convert_="all") for name, node in nodes.items()}
    except Exception as error:  # an error of Hydra or, from 1.4 on, of the component, with notes
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        where = re.search(r"full_key: (?:procedure\.)?(\S+)", text)
        says = one_line(too_large(cause) or cause)
        raise UserError(f"{where[1]}: {says}" if where else says) from error
