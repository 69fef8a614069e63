"""Which source files a run's numbers depend on, found by reading imports without importing."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from regrun.config.whitelist import TRUSTED, make_importable, trusted_packages

ROOT = Path(__file__).parents[1]
# Changes in other packages do not affect a run's numbers.
NUMERICAL = (
    "augmentations",
    "contracts",
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
    """A hash of every file that the named classes depend on, by module.

    Each file is read once per process, since imported code does not change.

    Args:
        targets: dotted names; names that are neither regrun's nor in a package that the user trusts are left
            out.
    """
    make_importable()
    packages = own_packages()
    return dict(hashes_of(frozenset(t for t in targets if package_of(t) in packages)))


@cache
def hashes_of(targets: frozenset[str]) -> dict[str, str]:
    """``source_hashes`` for targets in relevant packages, cached."""
    found: dict[str, str] = {}
    todo = [defining_module(target) for target in targets]
    while todo:
        module = todo.pop()
        file = file_of(module)
        if module in found or file is None or not is_numerical(module):
            continue
        found[module] = hash_of(file)
        todo += imported_modules(module, file)
    return dict(sorted(found.items()))


def own_packages() -> set[str]:
    """The names of regrun and of the user's trusted packages, without torch."""
    return {"regrun", *(name.split(".")[0] for name in trusted_packages()[len(TRUSTED) :])}


def is_numerical(module: str) -> bool:
    """Whether numbers may depend on a module; always true for a user's module."""
    package, _, rest = module.partition(".")
    return package != "regrun" or rest.split(".")[0] in NUMERICAL


def package_of(module: str) -> str:
    """``regrun`` for ``regrun.data.base``."""
    return module.split(".")[0]


def defining_module(name: str) -> str:
    """The module that defines a name, such as ``regrun.data.ModularArithmetic``, that its package exports."""
    return definition_of(name)[0]


def definition_of(name: str) -> tuple[str, str]:
    """The defining module of a dotted name and its name there, which is empty for a module."""
    if file_of(name) is not None:
        return name, ""
    module, _, attribute = name.rpartition(".")
    file = file_of(module)
    if file is None:  # an attribute of a class
        return definition_of(module) if module else (name, "")
    exported = re_exports(module, file).get(attribute)
    return definition_of(exported) if exported else (module, attribute)


def file_of(module: str) -> Path | None:
    """The source file of a module; ``None`` if there is none."""
    package, *parts = module.split(".")
    root = root_of(package)
    if root is None:
        return None
    if not parts and root.is_file():
        return root
    path = root.joinpath(*parts)
    for file in (path.with_suffix(".py"), path / "__init__.py") if parts else (path / "__init__.py",):
        if file.is_file():
            return file
    return None


@cache
def root_of(package: str) -> Path | None:
    """The folder of a package, or the file of a single module; ``None`` if there is neither."""
    if package == "regrun":
        return ROOT
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    return file.parent if spec.submodule_search_locations else file


@cache
def hash_of(file: Path) -> str:
    """A hash of a file's content, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@cache
def re_exports(module: str, file: Path) -> dict[str, str]:
    """The names that a module imports from its own package, with their sources."""
    package = package_of(module)
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            source = absolute(node, module, file)
            if package_of(source) == package:
                found |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if package_of(alias.name) == package]
            found |= {name: name for name in names}
    return found


def absolute(node: ast.ImportFrom, module: str, file: Path) -> str:
    """The absolute name of the module in a ``from ... import``."""
    if not node.level:
        return node.module or ""
    above = module.split(".")
    above = above[: len(above) - node.level + (file.name == "__init__.py")]
    return ".".join([*above, *([node.module] if node.module else [])])


def imported_modules(module: str, file: Path) -> Iterator[str]:
    """The modules of its own package from which a module imports something."""
    for name in re_exports(module, file).values():
        yield defining_module(name)
