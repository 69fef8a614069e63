from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import CHECKOUT, SMOKE, Result, records
from regrun.claims import Bounds, Judgement, Verdict, judge, read_claims
from regrun.config.arms import read_arms
from regrun.errors import TrainingDivergedError, one_line
from regrun.records.divergence import divergence
from regrun.records.record import Record, Status
from regrun.report.documents import diverged_of
from regrun.report.page import summary
from regrun.report.terminal import diverged_lines
from regrun.reproduction.ledger import read_entry
from regrun.reproduction.plan import PlannedRun
from regrun.reproduction.reading import Reading
from regrun.runs.job import Outcome
from regrun.sweeps.sweep import how_it_counts
from regrun.verbs.reproduce import undecided

Command = Callable[..., Result]
ARMS = read_arms({"a": [], "b": ["steps=3"]})
LEDGER = sorted((CHECKOUT / "outputs" / "ledger").glob("*.json"))


def recorded(folder: Path, rows: list[Mapping[str, float]], ended_by: Exception | None = None) -> Record:
    """A run that has measured these rows, ten steps apart, and is complete or was ended by an error."""
    record = Record(folder)
    what = {"identity": folder.name, "experiment": "e", "arm": "a", "seed": 0, "scale": "small"}
    how = {"command": "regrun", "device": "cpu", "precision": "32-true"}
    environment = {"versions": {}, "commit": None}
    record.begin({**what, **how, "steps": 10 * len(rows), "environment": environment}, {})
    for k, row in enumerate(rows):
        record.log(10 * k, row)
    if ended_by is None:
        record.finish(dict(rows[-1]))
    else:
        record.stop(Status.FAILED, one_line(ended_by))
    return record


def planned(folder: Path, arm: str, seed: int) -> PlannedRun:
    name = f"{arm}{seed}"
    return PlannedRun(arm, seed, (), name, folder / name)


@pytest.mark.parametrize(
    ("final", "words"),
    [
        ({"train_loss": math.nan}, "train_loss is not finite at its end"),
        ({"loss": math.inf, "train_loss": math.nan}, "loss and train_loss are not finite at its end"),
        ({"train_nll": math.nan, "test_nll": math.nan}, "train_nll is not finite at its end"),
        ({"train_loss": 0.1, "excess_slope": math.nan, "test_nll": math.inf}, ""),
        ({"accuracy": math.nan}, ""),
    ],
)
def test_a_run_diverges_by_its_training_loss_alone(
    tmp_path: Path, final: dict[str, float], words: str
) -> None:
    assert divergence(recorded(tmp_path / "r", [final])) == words


def test_a_run_that_the_check_of_its_loss_ends_has_diverged(tmp_path: Path) -> None:
    rows = [{"train_loss": 1.0}]
    for value, words in [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")]:
        record = recorded(tmp_path / words, rows, TrainingDivergedError(3, value))
        assert divergence(record) == f"the loss became {words} at step 3"
    assert divergence(recorded(tmp_path / "other", rows, ValueError("no room"))) == ""
    assert divergence(Record(tmp_path / "absent")) == ""


def test_in_the_committed_ledger_one_run_has_diverged() -> None:
    found = {file.stem: entry.diverged for file in LEDGER if (entry := read_entry(file)).diverged}
    assert found == {"sgd_sparse_features": {"two_layer_large=0.08": [1]}}
    entry = read_entry(CHECKOUT / "outputs" / "ledger" / "sgd_sparse_features.json")
    assert diverged_of(entry) == "diverged: `two_layer_large=0.08` in seed 1"
    assert [line.plain for line in diverged_lines(entry)] == ["∞ two_layer_large=0.08  diverged in seed 1"]
    page = CHECKOUT / "docs" / "papers" / "sgd_sparse_features.md"
    assert diverged_of(entry) in page.read_text(encoding="utf-8")


def test_no_mean_stands_beside_the_range_of_the_others() -> None:
    assert summary([1.0, 2.0, 6.0]) == ("3", "1 to 6")
    assert summary([2.0]) == ("2", "")
    assert summary([1.0, math.nan, 6.0]) == ("not finite in 1 of 3", "the others 1 to 6")
    assert summary([1.0, math.inf]) == ("not finite in 1 of 2", "the other 1")
    assert summary([math.inf] * 2) == ("not finite in 2 of 2", "")
    assert summary([math.nan] * 3) == ("–", "")  # does not apply to the arm
    assert summary([]) == ("–", "")


# ------------------------------------------------------------------- claims

ONE = [{"train_loss": 2.0, "test_accuracy": 0.1}, {"train_loss": 1.0, "test_accuracy": 0.5}]
LOST = [{"train_loss": 2.0, "test_accuracy": 0.1}, {"train_loss": math.nan, "test_accuracy": 0.1}]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    """Three seeds of two arms: of b seed 1 ends with nan, and the check of its loss has ended seed 2."""
    for seed in range(3):
        recorded(tmp_path / f"a{seed}", ONE)
    recorded(tmp_path / "b0", ONE)
    recorded(tmp_path / "b1", LOST)
    recorded(tmp_path / "b2", ONE[:1], TrainingDivergedError(7, math.nan))
    return Reading([planned(tmp_path, arm, seed) for seed in range(3) for arm in "ab"])


def judged(line: str, reading: Reading, seeds: int = 3) -> Judgement:
    (claim,) = read_claims({"c": {"says": "x", "expect": line}}, ARMS)
    (judgement,) = judge([claim], reading, lambda _: seeds, 1, reading.diverged())
    return judgement


def test_the_seeds_that_have_diverged_are_known(reading: Reading) -> None:
    assert reading.diverged() == {"b": [1, 2]}


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("train_loss[b] > 0", "seeds 1 and 2"),
        ("steps_down_to(train_loss[b], 2) < 5", "seeds 1 and 2"),  # it got there, and was lost afterwards
        ("at(train_loss[b], 0) > 0", "seeds 1 and 2"),
        ("train_loss[b] > train_loss[a] - 9", "seeds 1 and 2"),
        ("test_accuracy[b] < 0.9", "seed 2"),  # of seed 1 there is a figure, of seed 2 none
    ],
)
def test_a_claim_over_a_diverged_seed_is_not_reproduced(reading: Reading, line: str, unknown: str) -> None:
    judgement = judged(line, reading)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.why.startswith("b diverged in seeds 1 and 2: ")
    assert judgement.why.endswith(f"has no value for {unknown}")
    assert not judgement.parts
    assert undecided([judgement]) == []  # more seeds would not bring back what is lost


def test_more_seeds_are_for_what_they_may_decide(reading: Reading) -> None:
    wide = judged("last(test_accuracy[a]) > 0.6", reading)
    assert wide.verdict is Verdict.NOT_REPRODUCED
    assert undecided([wide, replace(wide, verdict=Verdict.INCONCLUSIVE)]) == [wide.claim]


def test_a_figure_of_a_run_that_diverged_is_said_to_be_one(tmp_path: Path) -> None:
    for seed, rows in enumerate([ONE, LOST, ONE]):
        recorded(tmp_path / f"b{seed}", rows)
    reading = Reading([planned(tmp_path, "b", seed) for seed in range(3)])
    judgement = judged("test_accuracy[b] < 9", reading)
    assert judgement.verdict is Verdict.REPRODUCED
    assert judgement.why.endswith("; b diverged in seed 1")


def test_a_claim_can_be_about_divergence(reading: Reading) -> None:
    judgement = judged("diverges(train_loss[b]) > 0.9", reading)
    assert [value.low for value in judgement.parts[0].values] == [0.0, 1.0, 1.0]
    assert judgement.verdict is Verdict.INCONCLUSIVE  # one of three has not
    assert "diverged in" not in judgement.why
    sure = judged("diverges(train_loss[a]) <= 0", reading)
    assert sure.verdict is Verdict.REPRODUCED
    assert sure.parts[0].estimate == Bounds.exact(0.0)
    assert judged("diverges(train_loss[a]) >= 1", reading).verdict is Verdict.NOT_REPRODUCED
    # Of accuracy there is a last value in seed 1, and in seed 2 no run that has one.
    accuracy = judged("diverges(test_accuracy[b]) > 0.9", reading)
    assert [value.low for value in accuracy.parts[0].values] == [0.0, 0.0, 1.0]


def test_a_run_that_failed_otherwise_is_not_run(tmp_path: Path) -> None:
    for seed in range(2):
        recorded(tmp_path / f"b{seed}", ONE)
    recorded(tmp_path / "b2", ONE[:1], OSError("no room"))
    reading = Reading([planned(tmp_path, "b", seed) for seed in range(3)])
    assert reading.diverged() == {}
    for line in ("train_loss[b] > 0", "diverges(train_loss[b]) >= 0"):
        judgement = judged(line, reading)
        assert judgement.verdict is Verdict.NOT_RUN
        assert judgement.why == "b seed 2 is failed"


def test_another_metric_that_is_nan_does_not_apply(tmp_path: Path) -> None:
    for seed in range(3):
        recorded(tmp_path / f"a{seed}", [{"train_loss": 1.0, "slope": math.nan if seed == 1 else 2.0}])
    reading = Reading([planned(tmp_path, "a", seed) for seed in range(3)])
    judgement = judged("slope[a] > 1", reading)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.why == "last(slope[a]) has no value for seed 1"


# ------------------------------------------------------- the command, in full


@pytest.mark.parametrize(
    ("status", "there", "how", "counted"),
    [
        (Status.COMPLETE, False, "", "complete"),
        (Status.COMPLETE, True, "", "already complete"),
        (Status.COMPLETE, True, "train_loss is not finite at its end", "diverged"),
        (Status.FAILED, False, "the loss became nan", "diverged"),
        (Status.FAILED, False, "", "failed"),
        (Status.INTERRUPTED, False, "", "interrupted"),
    ],
)
def test_what_has_diverged_counts_as_that(status: Status, there: bool, how: str, counted: str) -> None:
    assert how_it_counts(Outcome("x", status, Path(), was_there=there, divergence=how)) == counted


SPARSE = ("experiment=sgd_sparse_features", "procedure=sgd_sparse_features/large_then_small", "logger=csv")
EXPERIMENT = """\
# @package _global_
# Two step sizes, of which one is too large.
defaults:
  - override /procedure: sgd_sparse_features/large_then_small
  - override /logger: csv

paper: {title: Too large}
seeds: 3
arms:
  small: [procedure.large=0.005]
  large: [procedure.large=50]
claims:
  large_diverges: {says: Large diverges., expect: "diverges(train_loss[large]) >= 1"}
  small_does_not: {says: Small does not., expect: "diverges(train_loss[small]) <= 0"}
  large_is_worse: {says: Large is worse., expect: "train_loss[large] > train_loss[small]"}
"""


def test_a_sweep_says_which_run_has_diverged(regrun: Command, tmp_path: Path) -> None:
    words = ("-m", *SPARSE, "procedure.large=0.005,50")
    for again, complete in [("", "complete"), ("already complete, and ", "already complete")]:
        result = regrun(*words)
        assert result.code == 0, result.err
        (line,) = [line for line in result.out.splitlines() if line.startswith("∞")]
        assert line.endswith(f"procedure.large=50  {again}diverged: train_loss is not finite at its end")
        assert f"2 runs: 1 {complete}, 1 diverged" in result.out
    (lost,) = [record for record in map(Record, records(tmp_path)) if divergence(record)]
    shown = regrun("show", str(lost.directory))
    assert "complete, and diverged: train_loss is not finite at its end" in shown.out
    alone = regrun(*SPARSE, "procedure.large=50")
    assert alone.code == 0
    assert "diverged  train_loss is not finite at its end" in alone.out


def test_a_run_that_the_check_has_ended_still_fails(regrun: Command, tmp_path: Path) -> None:
    result = regrun("-m", *SMOKE, "optimizer.lr=1e-3,1e30")
    assert result.code == 1
    assert "diverged: the loss became nan at step 2; what was saved before is kept" in result.out
    assert "2 runs: 1 complete, 1 diverged" in result.out
    (lost,) = [record for record in map(Record, records(tmp_path)) if record.status is Status.FAILED]
    assert "diverged: the loss became nan at step 2" in regrun("show", str(lost.directory)).out
    alone = regrun(*SMOKE, "optimizer.lr=1e30")
    assert alone.code == 2
    assert alone.err.startswith("regrun: the loss became nan at step 2")


def test_a_reproduction_names_what_has_diverged_everywhere(regrun_afresh: Command, tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "rates.yaml").write_text(EXPERIMENT)
    words = ("rates", "--config-dir", "conf")
    result = regrun_afresh("reproduce", *words)
    assert result.code == 3, result.out + result.err
    assert "∞ large seed 1" in result.out
    assert "6 runs: 3 complete, 3 diverged" in result.out
    assert "∞ large  diverged in seeds 0, 1 and 2" in result.out
    entry = json.loads((tmp_path / "outputs" / "rates" / "verdicts.json").read_text())
    assert {claim["name"]: claim["verdict"] for claim in entry["claims"]} == {
        "large_diverges": "reproduced",
        "small_does_not": "reproduced",
        "large_is_worse": "inconclusive",
    }
    why = "large diverged in seeds 0, 1 and 2: last(train_loss[large]) has no value for seeds 0, 1 and 2"
    assert entry["claims"][2]["why"] == why
    assert entry["arms"]["large"]["diverged"] == [0, 1, 2]
    page = (tmp_path / "outputs" / "rates" / "report.html").read_text()
    assert "diverged in seeds 0, 1 and 2" in page
    assert "large (3 diverged)" in page
    again = regrun_afresh("report", *words)
    assert "∞ large  diverged in seeds 0, 1 and 2" in again.out
    assert "large diverged in seeds 0, 1 and 2" in regrun_index(regrun_afresh, tmp_path)


def regrun_index(regrun: Command, folder: Path) -> str:
    assert regrun("report").code == 0
    return (folder / "outputs" / "index.html").read_text()
