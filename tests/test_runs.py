from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from conftest import SMOKE, Result, only_record, records
from regrun.config.composing import compose_config, plain_config
from regrun.matrix.config import Table, load_table
from regrun.procedures.trainer import Interruptible
from regrun.records.record import Record, Status
from regrun.runs.run import STOP

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


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=4294967296"], "seed must lie between 0 and 4294967295, which is 2**32 - 1, got 4294967296"),
        (["seed=-1"], "seed must lie between 0 and 4294967295"),
        (["seed=true"], "seed: expected int, got True"),
        (["checkpoint_seconds=soon"], "checkpoint_seconds: expected seconds, got 'soon'"),
        (["checkpoint_seconds=true"], "checkpoint_seconds: expected seconds, got True"),
        (["checkpoint_seconds=null"], "checkpoint_seconds: expected seconds, got None"),
        (["checkpoint_seconds=-1"], "checkpoint_seconds must be at least 0, got -1"),
        (["checkpoint_seconds=nan"], "checkpoint_seconds must be at least 0, got nan"),
        (["dataset.modulus=1000000000"], "modulus must be at least 2, and at most 1,000,000, got 1000000000"),
        (["dataset.modulus=1000000"], "1,000,000,000,000 pairs of residues need 58 TiB of memory, and "),
        (
            ["dataset=sparse_parity", "dataset.samples=1000000000000"],
            "1,000,000,000,000 strings of 43 bits need 1.1 PiB of memory, and ",
        ),
        (
            ["dataset=back_copy", "dataset.concentration=inf"],
            "concentration must be a finite number, got inf",
        ),
        (
            ["dataset=back_copy", "dataset.concentration=nan"],
            "dataset.concentration: expected float, got nan",
        ),
        (["model.hidden=[1000000000000]"], "the run needs "),
        (["model.hidden=[1000000000000,1000000000000]"], "the run needs "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_number_out_of_range_is_one_line(
    regrun: Command, tmp_path: Path, words: list[str], says: str
) -> None:
    result = regrun("scale=smoke", "logger=csv", *words)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert says in result.err
    assert "of memory at once, and" in result.err or "the run needs" not in says
    assert not list(tmp_path.iterdir())


def test_seeds_that_generators_take_for_one_are_not_two_runs(regrun: Command, tmp_path: Path) -> None:
    """They were two records with the same rows, which a verdict counts as independent."""
    result = regrun("-m", *SMOKE, "seed=0,4294967296")
    assert result.code == 2
    assert "seed must lie between 0 and 4294967295" in result.err
    assert records(tmp_path) == []  # the sweep is refused before its first run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["reproduce", "grokking", "--seeds", "10001"], "--seeds: expected 1 to 10000, got '10001'"),
        (
            ["reproduce", "grokking", "--until-decided", "10001"],
            "--until-decided: expected 1 to 10000, got '10001'",
        ),
        (["matrix", "losses", "--seeds", "10001"], "--seeds: expected 1 to 10000, got '10001'"),
        (["report", "grokking", "--seeds", "-1"], "--seeds: expected 1 to 10000, got '-1'"),
        (["reproduce", "grokking", "seeds=true"], "seeds: expected a number from 1 to 4294967296, got True"),
        (["reproduce", "grokking", "seeds=0"], "seeds: expected a number from 1 to 4294967296, got 0"),
        (
            ["reproduce", "grokking", "seeds=many"],
            "seeds: expected a number from 1 to 4294967296, got 'many'",
        ),
        (
            ["-m", *SMOKE, "hydra/sweeper=arms", "hydra.sweeper.seeds=4294967297"],
            "hydra.sweeper.seeds: expected 1 to 4294967296",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_there_are_only_so_many_seeds(regrun: Command, tmp_path: Path, words: list[str], says: str) -> None:
    result = regrun(*words)
    assert result.code == 2
    assert says in result.err
    assert "Traceback" not in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.0])
def test_the_seed_of_trials_is_one_that_there_is(seed: object) -> None:
    table = load_table("losses").model_dump()
    with pytest.raises(ValidationError, match="tuning_seed"):
        Table.model_validate(table | {"tuning_seed": seed})


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
