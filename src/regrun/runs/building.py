"""What a config names, made."""

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
    """Construct the procedure, and with it every component, and the loggers.

    Raises:
        UserError: if a target is not trusted, or does not fit its place, or a parameter is wrong.
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
    """Construct what nodes of a config name, each of which must fit the same place.

    Args:
        nodes: by name.
        kind: what the place asks for.
        group: where they stand, for messages.

    Raises:
        UserError: as ``build`` does.
    """
    make_importable()
    check_target_names(nodes)
    for name, node in nodes.items():
        check_components(node, kind, f"{group}.{name}".lstrip("."))

    import hydra.utils
    from hydra.utils import instantiate

    # From 1.4 on Hydra keeps a whitelist of its own, and asks for it.
    whitelist = getattr(hydra.utils, "execution_whitelist", nullcontext)
    try:
        with whitelist(tuple(f"{package}.*" for package in trusted_packages())):
            return {name: instantiate(node, _convert_="all") for name, node in nodes.items()}
    except Exception as error:  # Hydra's, or from 1.4 on a component's own, with notes
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = "\n".join([str(error), *getattr(error, "__notes__", [])])
        where = re.search(r"full_key: (?:procedure\.)?(\S+)", text)
        says = one_line(too_large(cause) or cause)
        raise UserError(f"{where[1]}: {says}" if where else says) from error
