"""Runs that are trained as one stacked model, against the same runs trained alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import SMOKE, Result, only_record, records
from regrun.procedures.trainer import Interruptible
from regrun.records.record import Record, Status
from tiny import write_tiny

Command = Callable[..., Result]
ALIKE = {  # enough for each moment of a regularizer, and for what may differ
    "edits": (
        "regularizer=[stablemax,perp_grad,weight_decay]",
        "optimizer.lr=0.01,0.02",
        "regularizer.weight_decay.rate=0.5,1.0",
    ),
    "penalties": (
        "regularizer=[maxsup,mbls]",
        "regularizer.maxsup.weight=0.1,0.5",
        "regularizer.mbls.margin=0.5,1.0",
        "schedule=cosine",
    ),
    "memory": ("regularizer=[elr,label_smoothing]", "batch_size=17", "seed=0,1"),
    "attention": (
        "model=transformer",
        "model.dropout=0",
        "regularizer=none",
        "optimizer.lr=0.001",
        "seed=0,1",
    ),
}


def found(folder: Path) -> dict[str, Record]:
    """The records below a folder, by their own."""
    return {str(file.parent.name): Record(file.parent) for file in folder.glob("*/*/*/run.json")}


@pytest.mark.parametrize("parts", ALIKE)
def test_each_run_of_a_stack_is_what_it_is_alone(regrun: Command, tmp_path: Path, parts: str) -> None:
    """Over 200 steps; with Adam and its tiny epsilon, or at a high rate, rounding would grow to any size."""
    words = ["-m", *SMOKE, "optimizer=sgd", *ALIKE[parts], "steps=200", "eval_every=40"]
    assert regrun(*words, "outputs=outputs/alone").code == 0
    result = regrun(*words, "outputs=outputs/stacked", "engine=vmap")
    assert result.code == 0, result.out
    assert "not stacked" not in result.out
    alone, stacked = (found(tmp_path / "outputs" / place) for place in ("alone", "stacked"))
    assert alone.keys() == stacked.keys()
    assert len(alone) > 1
    for name, record in stacked.items():
        assert f"one of {len(alone)} stacked runs" in record.manifest()["notes"]
        assert record.is_intact()
        ours, theirs = record.history(), alone[name].history()
        assert [step for step, _ in ours] == [step for step, _ in theirs]
        for (_, values), (_, others) in zip(ours, theirs, strict=True):
            for metric, value in values.items():
                # Rounding may put a sample on the other side of a kink, which turns a small gradient.
                close = 1e-3 if "cosine" in metric else 1e-5
                assert value == pytest.approx(others[metric], rel=close, abs=close), metric
        state = torch.load(record.checkpoint, weights_only=True)["state_dict"]
        other = torch.load(alone[name].checkpoint, weights_only=True)["state_dict"]
        assert state.keys() == other.keys()
        torch.testing.assert_close(state, other, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif("REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where the data lie")
def test_batch_norm_keeps_statistics_for_each_run(regrun: Command, tmp_path: Path) -> None:
    words = ["-m", "experiment=label_noise", "scale=smoke", "logger=csv", "augmentation=none"]
    words += ["optimizer.lr=0.1,0.01", "trainer.precision=32-true"]
    assert regrun(*words, "outputs=outputs/alone").code == 0
    result = regrun(*words, "outputs=outputs/stacked", "engine=vmap")
    assert "not stacked" not in result.out
    alone, stacked = (found(tmp_path / "outputs" / place) for place in ("alone", "stacked"))
    for name, record in stacked.items():
        state = torch.load(record.checkpoint, weights_only=True)["state_dict"]
        other = torch.load(alone[name].checkpoint, weights_only=True)["state_dict"]
        assert any("running_var" in key for key in state)
        torch.testing.assert_close(state, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=transformer"], "model.encoder.layers.0.self_attn (MultiheadAttention) draws random numbers"),
        (["optimizer=muon"], "MuonWithAdamW does not update each weight by itself"),
        (["dataset=sparse_parity", "regularizer=mixup"], "regularizers.mixup (Mixup) cannot be stacked"),
        (
            ["regularizer=label_smoothing", "regularizer.label_smoothing.until=5"],
            "regularizers.label_smoothing (LabelSmoothing) cannot be stacked",
        ),
    ],
)
def test_what_cannot_be_stacked_is_named_and_runs_alone(
    regrun: Command, tmp_path: Path, words: list[str], said: str
) -> None:
    if words[0].startswith("dataset"):
        words = ["experiment=custom", "logger=csv", *words]
    else:
        words = [*SMOKE, *words]
    result = regrun("-m", *words, "steps=10", "seed=0,1", "engine=vmap")
    assert result.code == 0, result.out
    assert "2 runs not stacked: " + said in result.out
    assert [Record(folder).manifest()["notes"] for folder in records(tmp_path)] == [[], []]


def test_a_reproduction_in_stacks_has_the_verdicts_of_runs_alone(regrun: Command, tmp_path: Path) -> None:
    judged = []
    for place, engine in {"alone": "one_by_one", "stacked": "vmap"}.items():
        words = [
            *write_tiny(tmp_path),
            "hydra/launcher=basic",
            f"engine={engine}",
            f"outputs=outputs/{place}",
        ]
        assert regrun("reproduce", *words).code == 1  # one claim is not reproduced
        verdicts = json.loads((tmp_path / "outputs" / place / "tiny" / "verdicts.json").read_text())
        judged.append([claim["verdict"] for claim in verdicts["claims"]])
    assert judged[0] == judged[1]
    notes = [record.manifest()["notes"] for record in found(tmp_path / "outputs" / "stacked").values()]
    # Both rates of the penalty are one stack.
    assert sorted(notes) == [["one of 3 stacked runs"]] * 6 + [["one of 6 stacked runs"]] * 6


def test_runs_of_other_shapes_are_other_stacks(regrun: Command, tmp_path: Path) -> None:
    words = ["model.hidden=[8],[4,4]", "seed=0,1", "engine=vmap"]
    assert regrun("-m", *SMOKE, *words).code == 0
    notes = [Record(folder).manifest()["notes"] for folder in records(tmp_path)]
    assert notes == [["one of 2 stacked runs"]] * 4


def test_one_that_diverges_does_not_take_the_others_along(regrun: Command, tmp_path: Path) -> None:
    words = ["optimizer=sgd", "optimizer.lr=0.1,1e30", "seed=0", "engine=vmap", "regularizer=softmax_fp64"]
    result = regrun("-m", *SMOKE, *words)
    assert result.code == 1
    assert "1 complete, 1 diverged" in result.out
    assert "step 2" in result.out
    statuses = {Record(folder).status for folder in records(tmp_path)}
    assert statuses == {Status.COMPLETE, Status.FAILED}


def test_a_mistake_in_one_is_its_own(regrun: Command, tmp_path: Path) -> None:
    result = regrun("-m", *SMOKE, "regularizer=maxsup", "regularizer.maxsup.weight=0.1,-1.0", "engine=vmap")
    assert result.code == 1
    assert "2 runs not stacked" in result.out
    assert "1 complete, 1 failed" in result.out
    assert "must be at least 0" in result.out
    assert Record(only_record(tmp_path)).status is Status.COMPLETE


def test_an_interrupted_stack_goes_on(
    regrun: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    words = ["-m", *SMOKE, "optimizer=sgd", "optimizer.momentum=0.9", "steps=4000", "eval_every=500"]
    words += ["seed=0,1,2", "engine=vmap"]
    process = start(*words)
    while process.poll() is None and not any(Record(r).last_step() >= 500 for r in records(tmp_path)):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "the same sweep goes on with its stack" in out
    assert {Record(folder).status for folder in records(tmp_path)} == {Status.INTERRUPTED}
    assert len(list(tmp_path.glob("outputs/stacks/*/checkpoint.ckpt"))) == 1
    assert regrun(*words).code == 0
    assert not (tmp_path / "outputs" / "stacks").exists()
    interrupted = found(tmp_path / "outputs")
    assert all(len(record.manifest()["resumed"]) == 1 for record in interrupted.values())
    assert regrun(*words, "outputs=outputs/whole").code == 0
    for name, record in found(tmp_path / "outputs" / "whole").items():
        assert record.history() == interrupted[name].history()


def test_a_stack_that_is_killed_keeps_what_it_has_saved(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a second Ctrl-C, which Lightning turns into an exit."""
    looked = Interruptible.on_train_batch_end

    def kill(self: Interruptible, trainer: Any, *rest: Any) -> None:
        if trainer.global_step == 15:
            raise KeyboardInterrupt
        looked(self, trainer, *rest)

    words = ["-m", *SMOKE, "seed=0,1", "engine=vmap", "checkpoint_seconds=0"]
    monkeypatch.setattr(Interruptible, "on_train_batch_end", kill)
    assert regrun(*words).code != 0
    assert len(list(tmp_path.glob("outputs/stacks/*/checkpoint.ckpt"))) == 1
    assert {Record(folder).status for folder in records(tmp_path)} == {Status.INTERRUPTED}
    monkeypatch.setattr(Interruptible, "on_train_batch_end", looked)
    assert regrun(*words).code == 0
    assert all(len(Record(folder).manifest()["resumed"]) == 1 for folder in records(tmp_path))


def test_the_engine_is_checked(regrun: Command, tmp_path: Path) -> None:
    for words, said in {
        ("engine=wmap",): "engine: expected auto | one_by_one | vmap, got 'wmap'",
        ("engine=vmap", "hydra/launcher=packed"): "leave out hydra/launcher",
    }.items():
        result = regrun("-m", *SMOKE, "seed=0,1", *words)
        assert result.code == 2, result.out
        assert said in result.err
    assert not list(tmp_path.iterdir())
