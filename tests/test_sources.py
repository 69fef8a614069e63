"""Which files a run's numbers depend on, and what is kept where they changed under it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import SMOKE, Result, only_record
from regrun.config.whitelist import find_targets, read_trust
from regrun.procedures.trainer import Interruptible
from regrun.records.record import Record
from regrun.reproduction.experiment import load_experiment
from regrun.runs import provenance, sources
from regrun.runs.provenance import changes, with_part
from regrun.runs.run import STOP
from regrun.runs.sources import defining_module, source_hashes

Command = Callable[..., Result]


def test_re_exports_are_followed() -> None:
    assert defining_module("regrun.data.ModularArithmetic") == "regrun.data.modular_arithmetic"
    assert defining_module("regrun.data.ModularArithmetic.load") == "regrun.data.modular_arithmetic"
    assert defining_module("regrun.data.base") == "regrun.data.base"


def test_an_experiment_depends_on_what_it_uses_and_on_nothing_else() -> None:
    arms = load_experiment("grokking", "small", [], None).planned.values()
    modules = source_hashes({t for arm in arms for _, t in find_targets(arm.config["procedure"])})
    for used in (
        "losses.cross_entropy",
        "regularizers.base",
        "tasks.supervised",
        "models.mlp",
        "data.base",
    ):
        assert f"regrun.{used}" in modules
    for unused in ("optimizers.muon", "models.small_transformer", "console", "record"):
        assert f"regrun.{unused}" not in modules


def test_every_module_that_a_component_imports_is_found() -> None:
    """Against Python's own account of what importing loads."""
    importlib.import_module("regrun.procedures.training")
    found = source_hashes(["regrun.procedures.training.SupervisedTraining"])
    assert {"regrun.tasks.supervised", "regrun.data.base", "regrun.regularizers.base"} <= found.keys()
    assert found.keys() <= {name for name in sys.modules if name.startswith("regrun.")}
    assert "regrun.optimizers.schedules" not in found  # chosen in the config, not imported


def test_what_is_not_regruns_is_left_out() -> None:
    assert source_hashes(["torch.optim.SGD", "somebody.elses.Class", "regrun.nothing.here"]) == {}


def test_the_files_of_ones_own_package_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_paper_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("from a_paper_of_mine.method import Method\n")
    (package / "method.py").write_text("from .parts import half\nimport a_paper_of_mine.more\n")
    (package / "parts.py").write_text("half = 0.5\n")
    (package / "more.py").write_text("")
    (package / "unused.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert source_hashes(["a_paper_of_mine.Method"]) == {}
    monkeypatch.setenv("REGRUN_TRUST", "a_paper_of_mine")
    read_trust()
    sources.root_of.cache_clear()
    before = source_hashes(["a_paper_of_mine.Method"])
    names = {f"a_paper_of_mine{word}" for word in (".method", ".parts", ".more")}
    assert before.keys() == names
    (package / "parts.py").write_text("half = 0.25\n")
    assert source_hashes(["a_paper_of_mine.Method"]) == before  # what this process has imported
    for kept in (sources.hash_of, sources.hashes_of):
        kept.cache_clear()
    after = source_hashes(["a_paper_of_mine.Method"])
    assert [name for name in before if before[name] != after[name]] == ["a_paper_of_mine.parts"]


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Interruptible.on_train_batch_end

    def look(self: Interruptible, trainer: Any, *rest: Any) -> None:
        STOP.asked = STOP.asked or trainer.global_step == step
        looked(self, trainer, *rest)

    monkeypatch.setattr(Interruptible, "on_train_batch_end", look)


def edit(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file be another from now on."""
    hashes = provenance.source_hashes
    monkeypatch.setattr(provenance, "source_hashes", lambda targets: {**hashes(targets), module: "edited"})


def test_a_run_that_two_codes_compute_says_so_and_keeps_both(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMOKE, "steps=60")
    for step in (13, 23):  # the second time nothing has changed
        with monkeypatch.context() as patch:
            stop_at(step, patch)
            result = regrun(*words)
            assert result.code == 130
            assert "the code changed" not in result.err
    record = Record(only_record(tmp_path))
    (first,) = record.manifest()["computed_by"]
    edit("regrun.models.mlp", monkeypatch)
    monkeypatch.setattr(provenance, "git_commit", lambda: "another")
    with monkeypatch.context() as patch:
        stop_at(33, patch)
        result = regrun(*words)
    says = "the code changed after step 23: regrun.models.mlp"
    assert f"regrun: {record.directory.relative_to(tmp_path)}: {says}" in result.err
    assert record.manifest()["notes"] == [says]
    assert regrun(*words).code == 0
    one, two = record.manifest()["computed_by"]
    assert one == first
    assert (two["after_step"], two["commit"], two["code"]["regrun.models.mlp"]) == (23, "another", "edited")
    assert record.manifest()["notes"] == [says]
    assert regrun(*words, "force=true").code == 0
    assert [part["after_step"] for part in record.manifest()["computed_by"]] == [-1]
    assert record.manifest()["notes"] == []


def test_a_stage_of_another_code_is_said(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMOKE, "procedure=hash_encoders/hash_codes")
    result = regrun(*words)
    assert (result.code, result.err) == (0, "")
    edit("regrun.models.mlp", monkeypatch)
    result = regrun(*words, "procedure.neighbours=4")
    (stage,) = tmp_path.glob("outputs/stages/*")
    says = f"the stage {stage.relative_to(tmp_path)} was computed by another code: regrun.models.mlp"
    assert says in result.err
    (record,) = (Record(r) for r in tmp_path.glob("outputs/grokking/*neighbours*/*"))
    assert record.manifest()["notes"] == [says]
    assert [part.get("stage") for part in record.manifest()["computed_by"]] == [
        str(stage.relative_to(tmp_path)),
        None,
    ]


def part(after_step: int, code: str = "a", torch: str = "2", commit: str | None = "c") -> dict[str, Any]:
    versions = {"torch": torch}
    return {"commit": commit, "code": {"m": code}, "versions": versions, "after_step": after_step}


def test_what_a_part_computed_and_was_forgotten_does_not_count() -> None:
    parts = [part(-1)]
    for step, code in ((10, "a"), (20, "b"), (20, "a")):
        parts = with_part({"computed_by": parts}, part(step, code))
    assert parts == [part(-1)]  # the second code saved nothing
    parts = with_part({"computed_by": parts}, part(30, torch="3"))
    assert parts == [part(-1), part(30, torch="3")]
    assert changes(parts) == ["the code changed after step 30: torch 2, then 3"]
    assert with_part({"computed_by": parts}, part(-1, "d")) == [part(-1, "d")]


def test_of_a_run_that_was_begun_before_codes_were_kept_the_commit_tells() -> None:
    for commit, said in (("c", 0), ("c+", 1), ("d", 1)):
        parts = with_part({"environment": {"commit": commit}}, part(10, commit="c"))
        assert [p["commit"] for p in parts] == [commit, "c"]
        assert len(changes(parts)) == said
