from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SMOKE, Result, only_record, records
from regrun.app import compose_config, plain_config
from regrun.procedures.trainer import Interruptible
from regrun.record import Record, Status
from regrun.run import STOP

Command = Callable[..., Result]


ARMS = plain_config(compose_config(["experiment=grokking", "scale=smoke"]))["arms"]


@pytest.mark.parametrize(("arm", "overrides"), ARMS.items(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_arm_of_grokking_runs(regrun: Command, tmp_path: Path, arm: str, overrides: list[str]) -> None:
    result = regrun(*SMOKE, *overrides)
    assert result.code == 0, result.err
    record = Record(only_record(tmp_path))
    assert record.directory.parent.name == arm
    assert record.status is Status.COMPLETE
    assert record.is_intact()
    history = record.history()
    steps = record.manifest()["steps"]
    assert [step for step, _ in history] == [0, *range(10, steps + 1, 10)]
    last = history[-1][1]
    assert {"loss", "train_accuracy", "test_accuracy", "softmax_collapse", "gradient_weight_cosine"} <= set(
        last
    )
    assert record.result()["metrics"] == last


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=transformer", "model.feedforward=32", "model.width=16"],
        ["dataset=sparse_parity", "dataset.samples=64"],
        ["optimizer=muon"],
        ["optimizer=sgd", "schedule=cosine"],
        ["optimizer=adam", "regularizer=l1", "schedule=linear"],
        ["batch_size=32", "regularizer=[stablemax,perp_grad,weight_decay]"],
        ["trainer.precision=64-true"],
        ["dataset.operation='a/b'", "dataset.label_corruption=0.3", "steps=25"],
    ],
    ids=" ".join,
)
def test_any_parts_go_together(regrun: Command, tmp_path: Path, overrides: list[str]) -> None:
    result = regrun(*SMOKE, *overrides)
    assert result.code == 0, result.err
    record = Record(only_record(tmp_path))
    assert record.history()[-1][0] == record.manifest()["steps"]  # evaluated after the very last step


def test_an_evaluation_may_look_at_part_of_the_train_split(regrun: Command, tmp_path: Path) -> None:
    words = (*SMOKE, "probe=none", "batch_size=8", "steps=5", "eval_every=1")
    assert regrun(*words).code == 0
    assert regrun(*words, "eval_train_samples=1").code == 0
    whole, part = sorted(
        (dict(Record(record).history()) for record in records(tmp_path)),
        key=lambda history: all(row["train_accuracy"] in (0, 1) for row in history.values()),
    )
    for step, row in whole.items():
        assert part[step]["train_accuracy"] in (0, 1)  # of one sample
        assert part[step]["test_loss"] == row["test_loss"]
        assert part[step]["train_loss"] != row["train_loss"]
        assert part[step].get("loss") == row.get("loss")  # training is the same
    refused = regrun(*words, "eval_train_samples=0")
    assert refused.code == 2
    assert "eval_train_samples must be at least 1" in refused.err


def test_a_complete_run_says_so_and_force_repeats_it(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*SMOKE).code == 0
    record = only_record(tmp_path)
    first = json.loads((record / "result.json").read_text())
    again = regrun(*SMOKE)
    assert again.code == 0
    assert "already complete" in again.out
    assert json.loads((record / "result.json").read_text()) == first
    forced = regrun(*SMOKE, "force=true")
    assert "already complete" not in forced.out
    assert json.loads((record / "result.json").read_text())["metrics"] == first["metrics"]
    assert records(tmp_path) == [record]


def test_the_same_run_under_another_spelling_is_found(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*SMOKE, "regularizer=stablemax").code == 0
    again = regrun(*SMOKE, "regularizer=[stablemax]", "optimizer.betas=[0.9,0.99]")
    assert "already complete" in again.out
    assert len(records(tmp_path)) == 1


def test_results_do_not_depend_on_what_ran_before_in_the_process(regrun: Command, tmp_path: Path) -> None:
    """Hydra's basic launcher runs jobs in one process; none may leave its mark on the next."""
    other = [*SMOKE, "trainer.precision=64-true", "regularizer=[stablemax,perp_grad]", "seed=5"]
    one = [*SMOKE, "model=transformer", "model.width=16", "model.feedforward=16", "batch_size=16"]
    assert regrun(*one, "outputs=outputs/a").code == 0
    assert regrun(*other).code == 0
    assert regrun(*one, "outputs=outputs/b").code == 0
    first, second = (next((tmp_path / "outputs" / x).glob("*/*/*/metrics.csv")) for x in "ab")
    assert first.read_text() == second.read_text()
    assert torch.get_default_dtype() == torch.float32


def rows(record: Path) -> list[dict[str, str]]:
    with (record / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


HARD_TO_RESUME = [
    # Dropout, shuffled batches, a schedule with a warm-up, a penalty, an evaluation off the last step.
    ["model=transformer", "model.width=16", "model.feedforward=16", "batch_size=17", "schedule=cosine",
     "schedule.warmup=5", "regularizer=[l1,perp_grad,weight_decay]", "steps=44"],
    ["optimizer=muon", "regularizer=stablemax", "batch_size=40"],
    ["trainer.precision=64-true"],
]  # fmt: skip


@pytest.mark.parametrize("overrides", HARD_TO_RESUME, ids=["transformer", "muon", "float64"])
@pytest.mark.parametrize("stops", [[1], [10], [13], [7, 11, 19]], ids=str)
def test_an_interrupted_run_ends_with_the_same_bits(
    regrun: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    stops: list[int],
) -> None:
    assert regrun(*SMOKE, *overrides, "outputs=outputs/whole").code == 0
    whole = next((tmp_path / "outputs" / "whole").glob("*/*/*"))

    looked = Interruptible.on_train_batch_end

    def stop_at(step: int) -> None:
        def look(self: Interruptible, trainer: object, *rest: object) -> None:
            if trainer.global_step == step:  # type: ignore[attr-defined]
                STOP.asked = True
            looked(self, trainer, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(Interruptible, "on_train_batch_end", look)

    for step in stops:
        stop_at(step)
        force = ["force=true"] if step == stops[0] else []
        result = regrun(*SMOKE, *overrides, "outputs=outputs/parts", *force)
        assert result.code == 130
        assert "go on with: regrun experiment=grokking" in result.err
        assert "force" not in result.err  # it would start over
        record = Record(next((tmp_path / "outputs" / "parts").glob("*/*/*")))
        assert record.status is Status.INTERRUPTED
        state = torch.load(record.checkpoint, weights_only=True)
        assert state["global_step"] == step
    monkeypatch.setattr(Interruptible, "on_train_batch_end", looked)
    assert regrun(*SMOKE, *overrides, "outputs=outputs/parts").code == 0

    parts = record.directory
    assert rows(parts) == rows(whole)
    ours, theirs = (torch.load(r / "checkpoint.ckpt", weights_only=True) for r in (parts, whole))
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    for name, value in theirs["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], value), name


def test_a_procedure_may_be_a_plain_function_of_a_study(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not training needs no Lightning: a package of the user's own with one small class."""
    folder = tmp_path / "conf" / "procedure"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text("_target_: own_study.Study\nslope: 2.0\n")
    (tmp_path / "own_study.py").write_text(STUDY)
    monkeypatch.setenv("REGRUN_TRUST", "own_study")
    result = regrun("--config-dir", "conf", "procedure=study", "procedure.slope=3.0", "logger=csv", "seed=4")
    assert result.code == 0, result.err
    record = Record(only_record(tmp_path))
    assert [row["y"] for _, row in record.history()] == [0.0, 3.0, 6.0]
    assert record.result()["metrics"] == {"seed": 4.0}


STUDY = """
from regrun.procedures import Context, Description

class Study:
    def __init__(self, slope):
        self.slope = slope

    def __call__(self, context: Context):
        context.begin(Description(steps=2))
        for step in range(3):
            context.log(step, {"y": self.slope * step})
        return {"seed": float(context.seed)}
"""
