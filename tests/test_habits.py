"""What an entry keeps of smoke runs: what another processor does, too."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regrun.reproduction import habits
from regrun.reproduction.habits import WITHOUT_AVX512, X86, differences, habits_of, in_processes
from regrun.runs import environment


def test_processes_compute_with_one_thread_and_as_they_are_told() -> None:
    names = ["ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS"]
    assert list(in_processes(os.getenv, names, workers=2, environment=WITHOUT_AVX512)) == ["avx2", "1"]
    assert list(in_processes(os.getenv, names)) == [os.environ.get("ATEN_CPU_CAPABILITY"), "1"]


@pytest.mark.skipif(platform.machine() not in X86, reason="the other processor is an x86")
def test_what_depends_on_the_processor_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def apart(words: Any, environment: Mapping[str, str] | None = None) -> Any:
        asked.append((words, environment))
        accuracy = 0.35 if environment else 0.3
        return {"arm": {"loss": 1.0 + 1e-6 * len(asked), "kmeans_accuracy": accuracy, "gone": math.nan}}

    monkeypatch.setattr(habits, "apart", apart)
    config = {"procedure": {"rate": 0.1}, "trainer": {"precision": "32-true"}}
    arms = {"arm": SimpleNamespace(config=config)}
    experiment: Any = SimpleNamespace(
        name="mine", overrides=("data_dir=there", "trainer=gpu"), config_dir="conf", planned=arms
    )
    found = habits_of(experiment).smoke["arm"]
    words = ("mine", ("data_dir=there",), "conf")
    assert asked == [(words, None), (words, WITHOUT_AVX512)]
    assert found.keys() == {"loss", "gone"}


def test_a_figure_that_was_nan_and_is_none_any_more_differs() -> None:
    assert differences({"a": {"x": math.nan, "y": 1.0}}, {"a": {"x": math.nan, "y": 1.00005}}) == []
    assert differences({"a": {"x": math.nan}}, {"a": {"x": 0.03}}) == ["a: x was nan and is 0.03"]
    assert differences({"a": {"x": 0.03}}, {"a": {"x": math.nan}}) == ["a: x was 0.03 and is nan"]
    assert differences({"a": {"x": 1.0}}, {"a": {"z": 1.0}}) == ["a: x was 1 and is gone"]


def test_a_commit_is_edited_by_code_and_not_by_what_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(tmp_path)]
        return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout

    code = tmp_path / "src" / "regrun" / "runs" / "environment.py"
    entry = tmp_path / "outputs" / "ledger" / "a.json"
    for file in (code, entry):
        file.parent.mkdir(parents=True)
        file.write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "One")
    commit = git("rev-parse", "HEAD").strip()
    monkeypatch.setattr(environment, "__file__", str(code))
    look = environment.git_commit.__wrapped__
    entry.write_text("2\n")
    assert look() == commit
    code.write_text("2\n")
    assert look() == f"{commit}+"
