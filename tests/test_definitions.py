"""What an entry keeps of the code: its behaviour, and not its words or its place."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regrun.config.whitelist import read_trust
from regrun.runs import definitions, sources
from regrun.runs.definitions import changed, definition_hashes

PAPER = "regrun.papers.exact_inductive_bias.KernelBias"  # whose probabilities are quadratic_form's
LOSS = "regrun.losses.Bootstrap"
NOISE = "regrun.data.SymmetricNoise"
ALL = (PAPER, LOSS, NOISE, "regrun.procedures.training.SupervisedTraining", "regrun.optimizers.cosine")
Edit = Callable[..., None]


def forget() -> None:
    for kept in (
        *(definitions.hash_of_definition, definitions.read_source),
        *(sources.root_of, sources.re_exports, sources.hash_of, sources.hashes_of),
    ):
        kept.cache_clear()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of regrun's code, to be edited, in place of it."""
    copy = tmp_path / "regrun"
    shutil.copytree(sources.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "ROOT", copy)
    forget()
    yield copy
    forget()


def edit(file: Path, *replacements: tuple[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    forget()


def differing(before: dict[str, str]) -> list[str]:
    today = definition_hashes(ALL)
    return [name for name in before if before[name] != today[name]]


def test_words_and_places_do_not_count(checkout: Path) -> None:
    before = definition_hashes(ALL)
    assert before.keys() == {*ALL} - {"regrun.procedures.training.SupervisedTraining"}
    module = checkout / "papers" / "exact_inductive_bias" / "quadratic_form.py"
    module.write_text(re.sub(r'"""(?=\w)', '"""Otherwise put: ', module.read_text()))
    edit(
        module,
        ("import numpy as np\n", "import numpy as np  # which computes\nimport math\n"),
        ("\n\n\n", "\n\n\n# ---\n\n\n"),
    )
    losses = checkout / "losses"
    (losses / "noisy_labels.py").rename(losses / "distrust.py")
    edit(losses / "__init__.py", ("regrun.losses.noisy_labels", "regrun.losses.distrust"))
    assert differing(before) == []


def test_a_class_that_moves_alone_is_the_same(checkout: Path) -> None:
    before = definition_hashes(ALL)
    losses = checkout / "losses"
    text = (losses / "noisy_labels.py").read_text()
    start, end = text.index("class Bootstrap"), text.index("class ForwardCorrection")
    (losses / "bootstrap.py").write_text("from regrun.losses.base import expected\n\n\n" + text[start:end])
    (losses / "noisy_labels.py").write_text(text[:start] + text[end:])
    edit(
        losses / "__init__.py",
        ("import Bootstrap, ForwardCorrection", "import ForwardCorrection"),
        (
            "from regrun.losses.noisy",
            "from regrun.losses.bootstrap import Bootstrap\nfrom regrun.losses.noisy",
        ),
    )
    assert definitions.definition_of(LOSS)[0] == "regrun.losses.bootstrap"
    assert differing(before) == []


def test_what_a_component_does_counts_and_what_its_neighbours_do_does_not(checkout: Path) -> None:
    before = definition_hashes(ALL)
    edit(checkout / "losses" / "noisy_labels.py", ("share: float = 0.8", "share: float = 0.7"))
    assert differing(before) == [LOSS]
    edit(checkout / "losses" / "noisy_labels.py", ("share: float = 0.7", "share: float = 0.8"))
    edit(checkout / "losses" / "noisy_labels.py", ("q: float = 0.7", "q: float = 0.6"))  # of another loss
    for engine in (checkout / "procedures" / "training.py", checkout / "losses" / "base.py"):
        edit(engine, ("return ", "return 2 * "))
    assert differing(before) == []


def test_what_a_paper_imports_from_papers_counts(checkout: Path) -> None:
    before = definition_hashes(ALL)
    module = checkout / "papers" / "exact_inductive_bias" / "quadratic_form.py"
    (first, *_) = (line for line in module.read_text().splitlines() if line.startswith("    return "))
    edit(module, (first, first.replace("return ", "return 2 * ")))
    assert differing(before) == [PAPER]


MODULE = '''\
"""A method."""
from __future__ import annotations
import math
from .parts import half
from . import registering

__all__ = ["Method"]
FACTOR = 3
OTHER = 4


class Method:
    """What it does."""

    def value(self, x: float) -> float:
        """See the class."""
        return scaled(x) * half


def scaled(x):
    return FACTOR * x


class Unused:
    factor = OTHER
'''


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("method.py", "A method", "Another", False),
        ("method.py", "import math\n", "", False),
        ("method.py", '    """What it does."""\n', "    # nothing\n", False),
        ("method.py", '"Method"]', '"Method", "Unused"]', False),
        ("method.py", "OTHER = 4", "OTHER = 5", False),
        ("method.py", "FACTOR = 3", "FACTOR = 5", True),
        ("method.py", "FACTOR * x", "FACTOR + x", True),
        ("parts.py", "0.5", "0.25", True),
        ("parts.py", "third = 0.3", "third = 0.4", False),
        ("registering.py", "print(1)", "print(2)", True),
    ],
)
def test_the_code_of_ones_own_package(
    file: str, old: str, new: str, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_method_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("from a_method_of_mine.method import Method\n")
    (package / "method.py").write_text(MODULE)
    (package / "parts.py").write_text("half = 0.5\nthird = 0.3\n")
    (package / "registering.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert definition_hashes(["a_method_of_mine.Method"]) == {}
    monkeypatch.setenv("REGRUN_TRUST", "a_method_of_mine")
    read_trust()
    forget()
    before = definition_hashes(["a_method_of_mine.Method"])
    assert before.keys() == {"a_method_of_mine.Method"}
    edit(package / file, (old, new))
    assert (definition_hashes(["a_method_of_mine.Method"]) != before) == counts


def test_hashes_are_compared_and_not_their_names() -> None:
    then = {"a.X": "1", "a.Y": "2 3"}
    assert changed(then, {"b.X": "1", "b.Y": "2", "b.Z": "3"}) == []
    assert changed(then, {"a.X": "2", "a.Y": "2"}) == ["a.X", "a.Y"]
    assert changed({}, then) == []


def test_a_hash_is_that_of_every_version_of_python() -> None:
    """The newer ones have fields that the older lack, and leave out what is empty."""
    import ast

    (statement,) = ast.parse("def f(x, y=None):\n    return lambda: x[0]\n").body
    assert definitions.text_of(statement) == (
        "FunctionDef(name='f',args=arguments(args=[arg(arg='x'),arg(arg='y')],defaults=[Constant()]),"
        "body=[Return(value=Lambda(args=arguments(),body=Subscript(value=Name(id='x',ctx=Load()),"
        "slice=Constant(value=0),ctx=Load())))])"
    )
