"""What components are made of, as hashes that only another behaviour changes, not other words or places.

Of each class or function that a config names: its definition, and what it mentions of its module. Of a
paper's own code, and of a user's package, also what is imported from there. Docstrings, comments, imports and
the names of modules do not count. What all components stand on (bases, training, tasks) is left out: whether
that still does the same, smoke runs tell.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from regrun.config.whitelist import make_importable
from regrun.runs.sources import NUMERICAL, definition_of, file_of, own_packages, package_of, re_exports

ENGINE = ("procedures", "tasks")
PAPERS = "regrun.papers."
WHOLE = ("", "*")  # in place of a name of a module: all of it


def definition_hashes(targets: Iterable[str]) -> dict[str, str]:
    """A hash of what each component is made of, by the name that a config has for it.

    A file is read once in a process: what has been imported does not change with it.

    Args:
        targets: dotted names, as a config has them; those that are neither regrun's components nor of a
            package that the user trusts are left out.
    """
    make_importable()
    packages = own_packages()
    return {
        target: hash_of_definition(target)
        for target in sorted({*targets})
        if package_of(target) in packages and is_component(definition_of(target)[0])
    }


def changed(then: Mapping[str, str], today: Mapping[str, str]) -> list[str]:
    """The names of ``then`` whose hashes, several where it was not always one, are not all there ``today``.

    Where they stand today does not matter: what has been moved is the same.
    """
    there = {*today.values()}
    return [name for name, hashes in then.items() if not there.issuperset(hashes.split())]


def is_component(module: str) -> bool:
    """Whether a module defines what a config chooses, and is not what all of that stands on."""
    package, _, rest = module.partition(".")
    part = rest.split(".")[0]
    return file_of(module) is not None and (package != "regrun" or (part in NUMERICAL and part not in ENGINE))


@cache
def hash_of_definition(target: str) -> str:
    """In hexadecimal."""
    texts = sorted({text_of(statement) for statement in reached(*definition_of(target))})
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def reached(module: str, name: str) -> Iterator[ast.stmt]:
    """The statements that a name of a module is made of, from there on."""
    waiting = [(module, name)]
    seen = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        module, name = place
        source = read_source(module)
        for statement in source.statements_of(name):
            yield statement
            mentioned = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            waiting += [(module, other) for other in mentioned if other in source.named]
            waiting += [source.imported[other] for other in mentioned if other in source.imported]
        waiting += [there for there in source.imported.values() if there[1] in WHOLE]


@dataclass(frozen=True)
class Source:
    """A module.

    Attributes:
        named: its statements, by the names that they define; several where one defines a name anew.
        unnamed: those that define none, and do something.
        imported: module and name of what it imports from paper's or the user's own code, by its name here.
    """

    named: Mapping[str, list[ast.stmt]]
    unnamed: list[ast.stmt]
    imported: Mapping[str, tuple[str, str]]

    def statements_of(self, name: str) -> list[ast.stmt]:
        """Those that define a name, with those that only do something; all, where nothing says which."""
        own = self.named.get(name) or [found for several in self.named.values() for found in several]
        return [*own, *self.unnamed]


@cache
def read_source(module: str) -> Source:
    """Read a module; a file is read once in a process."""
    file = file_of(module)
    assert file is not None
    named: dict[str, list[ast.stmt]] = {}
    unnamed = []
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        if not counts(statement):
            continue
        names = set(defined(statement))
        if names == {"__all__"}:
            continue
        for name in names:
            named.setdefault(name, []).append(statement)
        if not names:
            unnamed.append(statement)
    places = {name: definition_of(whence) for name, whence in re_exports(module, file).items()}
    imported = {
        name: there
        for name, there in places.items()
        if there[0] != module and file_of(there[0]) and f"{there[0]}.".startswith(followed(module))
    }
    return Source(named, unnamed, imported)


def followed(module: str) -> str:
    """From which modules what a module imports is part of it."""
    return PAPERS if package_of(module) == "regrun" else f"{package_of(module)}."


def defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module defines there."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def counts(statement: ast.stmt) -> bool:
    """Whether a statement does something, and is not an import, a docstring, or nothing but these."""
    if isinstance(statement, ast.Expr):
        return not (isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str))
    if isinstance(statement, ast.If):
        return any(map(counts, [*statement.body, *statement.orelse]))
    return not isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def text_of(node: object) -> str:
    """A syntax tree as text that every version of Python writes alike, of statements those that count."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={text_of(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        kept = [item for item in node if not isinstance(item, ast.stmt) or counts(item)]
        return f"[{','.join(map(text_of, kept))}]"
    return repr(node)
