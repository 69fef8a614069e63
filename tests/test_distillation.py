"""Distillation as a procedure: one teacher for all students, and what cannot be taught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import Result
from regrun.records.record import Record

WORDS = ("procedure=distillation", "dataset=sparse_parity", "dataset.samples=60", "steps=6", "eval_every=3")


def test_students_share_a_teacher(regrun: Callable[..., Result], tmp_path: Path) -> None:
    for temperature in (1, 4):
        result = regrun(
            *WORDS,
            "regularizer=soft_targets",
            f"regularizer.soft_targets.temperature={temperature}",
            "logger=csv",
        )
        assert result.code == 0, result.err
    teachers = list((tmp_path / "outputs" / "stages").rglob("result.json"))
    assert len(teachers) == 1
    finals = [Record(file.parent).result()["metrics"] for file in tmp_path.rglob("custom/*/*/result.json")]
    assert len(finals) == 2
    accuracy = Record(teachers[0].parent).result()["metrics"]["test_accuracy"]
    assert [final["teacher_accuracy"] for final in finals] == [accuracy] * 2
    assert finals[0]["test_loss"] != finals[1]["test_loss"]


def test_a_student_must_listen(regrun: Callable[..., Result], tmp_path: Path) -> None:
    deaf = regrun(*WORDS, "logger=csv")
    assert deaf.code == 2
    assert "add soft_targets to regularizer=[...]" in deaf.err
    alone = regrun("dataset=sparse_parity", "regularizer=soft_targets", "steps=2", "logger=csv")
    assert alone.code == 2
    assert "choose procedure=distillation" in alone.err
    assert not list(tmp_path.rglob("result.json"))
