"""Hashes of component definitions, which change with behaviour and not with wording or location.

A hash covers the class or function that a config names and what that uses from its module. For a paper's own
code and a user's package, it also covers what is imported from there. Docstrings, comments, imports and
module names do not count. Code that all components rely on (bases, training, tasks) is left out; smoke runs
check its behaviour.
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
WHOLE = ("", "*")  # instead of a name: the whole module


def definition_hashes(targets: Iterable[str]) -> dict[str, str]:
    """A hash of each component's definition, by its name in the config.

    Each file is read once per process, since imported code does not change.

    Args:
        targets: dotted names; names that are neither regrun's components nor in a package that the user
            trusts are left out.
    """
    make_importable()
    packages = own_packages()
    return {
        target: hash_of_definition(target)
        for target in sorted({*targets})
        if package_of(target) in packages and is_component(definition_of(target)[0])
    }


def changed(then: Mapping[str, str], today: Mapping[str, str]) -> list[str]:
    """The names in ``then`` with a hash, or one of several, that is missing ``today``.

    Hashes are compared regardless of name, so code that has moved counts as unchanged.
    """
    there = {*today.values()}
    return [name for name, hashes in then.items() if not there.issuperset(hashes.split())]


def is_component(module: str) -> bool:
    """Whether a module defines components, rather than code that all components rely on."""
    package, _, rest = module.partition(".")
    part = rest.split(".")[0]
    return file_of(module) is not None and (package != "regrun" or (part in NUMERICAL and part not in ENGINE))


@cache
def hash_of_definition(target: str) -> str:
    """The hash of one definition, in hexadecimal."""
    texts = sorted({text_of(statement) for statement in reached(*definition_of(target))})
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def reached(module: str, name: str) -> Iterator[ast.stmt]:
    """The statements of a module that a name depends on, directly or indirectly."""
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
    """A parsed module.

    Attributes:
        named: statements by the names they define; several if a name is redefined.
        unnamed: statements that define no name but have an effect.
        imported: module and name of each import from the paper's or the user's own code, by its local name.
    """

    named: Mapping[str, list[ast.stmt]]
    unnamed: list[ast.stmt]
    imported: Mapping[str, tuple[str, str]]

    def statements_of(self, name: str) -> list[ast.stmt]:
        """The statements that define a name, plus those without a name; all statements if none defines it."""
        own = self.named.get(name) or [found for several in self.named.values() for found in several]
        return [*own, *self.unnamed]


@cache
def read_source(module: str) -> Source:
    """Parse a module, once per process."""
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
    """The prefix of modules whose imports are followed."""
    return PAPERS if package_of(module) == "regrun" else f"{package_of(module)}."


def defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a module-level statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def counts(statement: ast.stmt) -> bool:
    """Whether a statement has an effect: not an import, a docstring or ``pass``."""
    if isinstance(statement, ast.Expr):
        return not (isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str))
    if isinstance(statement, ast.If):
        return any(map(counts, [*statement.body, *statement.orelse]))
    return not isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def text_of(node: object) -> str:
    """A syntax tree as text, the same in every Python version, without statements that do not count."""
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={text_of(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        kept = [item for item in node if not isinstance(item, ast.stmt) or counts(item)]
        return f"[{','.join(map(text_of, kept))}]"
    return repr(node)
