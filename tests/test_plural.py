from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from conftest import CHECKOUT
from regrun.plural import count, listed, seeds

# Nouns that are counted in what regrun prints, and of which there may be one.
NOUNS = r"(runs|arms|seeds|claims|cores|threads|cells|trials|comparisons|experiments|processes|machines)"

# A verdict takes three seeds, and what cannot be paired arm by arm is several.
ALWAYS_SEVERAL = ("wording.py", "verdict.py", "grammar.py")


@pytest.mark.parametrize(("n", "words"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1000, "1,000 runs")])
def test_one_is_one_and_everything_else_is_several(n: int, words: str) -> None:
    assert count(n, "run") == words
    assert count(n, "process", "processes") == words.replace("run", "process").replace(
        "processs", "processes"
    )


def test_lists_in_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed([0, 1, 4]) == "0, 1 and 4"
    assert seeds([3]) == "seed 3"
    assert seeds([0, 2]) == "seeds 0 and 2"


def said(file: Path) -> list[str]:
    """Every f-string of a file, with {} for what is filled in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    ]


@pytest.mark.parametrize(
    "folder",
    [
        "console.py",
        "runs",
        "records",
        "sweeps",
        "launchers",
        "reproduction",
        "report",
        "claims",
        "matrix",
        "verbs",
    ],
)
def test_nothing_that_is_printed_counts_by_hand(folder: str) -> None:
    root = CHECKOUT / "src" / "regrun" / folder
    files = [root] if root.is_file() else sorted(root.rglob("*.py"))
    assert files
    counted = {
        f"{file.name}: {text}"
        for file in files
        if file.name not in ALWAYS_SEVERAL
        for text in said(file)
        if re.search(rf"\{{\}} {NOUNS}\b", text)
    }
    assert counted == set()
