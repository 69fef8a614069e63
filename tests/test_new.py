"""``regrun new``: a stranger's first paper."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result

Command = Callable[..., Result]
FILES = ["my_paper.py", "conf/experiment/my_paper.yaml", "conf/regularizer/my_paper.yaml", "test_my_paper.py"]


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_its_smoke_run_passes_at_once(regrun: Command, tmp_path: Path) -> None:
    result = regrun("new", "my_paper")
    assert result.code == 0, result.err
    assert files_in(tmp_path) == {*FILES}
    assert "export REGRUN_TRUST=my_paper" in result.out
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_paper.py"]
    environment = {**os.environ, "REGRUN_TRUST": "my_paper", "PYTEST_ADDOPTS": ""}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


def test_every_scale_of_it_composes_and_its_claim_is_read(
    regrun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRUN_TRUST", "my_paper")
    assert regrun("new", "my_paper").code == 0
    for scale in ("smoke", "small", "paper"):
        words = ("reproduce", "my_paper", "--config-dir", "conf", "--scale", scale, "--dry-run")
        result = regrun(*words)
        assert result.code in (0, 3), result.err
        assert "method" in result.out


@pytest.mark.parametrize("there", FILES)
def test_what_is_there_stays_and_nothing_is_written_beside_it(
    regrun: Command, tmp_path: Path, there: str
) -> None:
    file = tmp_path / there
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    result = regrun("new", "my_paper")
    assert result.code == 2
    assert result.err.strip() == f"regrun: {there}: already there, and nothing was written"
    assert files_in(tmp_path) == {there}
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("slug", "says"),
    [
        ("grokking", "regrun has the experiment grokking"),
        ("stablemax", "regrun has the regularizer stablemax"),
        ("My-Paper", "'My-Paper' cannot be a paper's name"),
        ("class", "'class' cannot be"),
        ("../x", "cannot be a paper's name"),
        ("", "cannot be a paper's name"),
        ("x" * 61, "at most 60"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(regrun: Command, tmp_path: Path, slug: str, says: str) -> None:
    result = regrun("new", slug)
    assert result.code == 2
    assert says in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert files_in(tmp_path) == set()
