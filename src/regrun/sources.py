"""Which source files the numbers of a run depend on, found by reading imports and importing nothing."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent
# A change in another package leaves a run's numbers as they are.
NUMERICAL = (
    "augmentations",
    "data",
    "losses",
    "measures",
    "models",
    "optimizers",
    "papers",
    "probability_maps",
    "probes",
    "procedures",
    "regularizers",
    "solvers",
    "tasks",
)


def source_hashes(targets: Iterable[str]) -> dict[str, str]:
    """A hash of every file that the named classes are made of, by module.

    Args:
        targets: dotted names, as a config has them; those that are not regrun's are left out.
    """
    found: dict[str, str] = {}
    todo = [defining_module(target) for target in targets if target.startswith("regrun.")]
    while todo:
        module = todo.pop()
        file = file_of(module)
        if module in found or file is None or package_of(module) not in NUMERICAL:
            continue
        found[module] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        todo += imported_modules(file)
    return dict(sorted(found.items()))


def defining_module(name: str) -> str:
    """The module that defines ``regrun.data.ModularArithmetic``, say, which its package re-exports."""
    if file_of(name) is not None:
        return name
    module, _, attribute = name.rpartition(".")
    file = file_of(module)
    if file is None:  # an attribute of a class
        return defining_module(module) if module else name
    exported = re_exports(file).get(attribute)
    return defining_module(exported) if exported else module


def package_of(module: str) -> str:
    """``data`` for ``regrun.data.base``."""
    return [*module.split("."), ""][1]


def file_of(module: str) -> Path | None:
    """The source of a module of regrun; ``None`` if there is none."""
    path = ROOT.joinpath(*module.split(".")[1:])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def re_exports(file: Path) -> dict[str, str]:
    """The names that a file imports from regrun, and where from."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("regrun")
        for alias in node.names
    }


def imported_modules(file: Path) -> Iterator[str]:
    """The modules of regrun from which a file imports something."""
    for name in re_exports(file).values():
        yield defining_module(name)
