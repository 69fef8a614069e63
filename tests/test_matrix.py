"""The cross table: what is tried, what is chosen, what is compared, and a real one that is resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from conftest import Result as Ran
from regrun.errors import UserError
from regrun.matrix.cells import Cell, compared
from regrun.matrix.config import Table, load_table
from regrun.matrix.running import choose
from regrun.matrix.trials import settings
from regrun.report.cross_table import read_result

TABLE = Table.model_validate(
    {
        "title": "A table",
        "says": "Nothing much.",
        "baseline": "plain",
        "trials": 3,
        "seeds": 3,
        "components": {
            "plain": {},
            "smooth": {"search": {"share": {"low": 0.01, "high": 0.5, "log": True}}},
            "picky": {"search": {"k": [1, 2, 3]}},
        },
        "problems": {
            "easy": {
                "says": "It is easy.",
                "overrides": ["a=1", ["b=2", ["c=3"]]],
                "measure": "m",
                "choose": "v",
                "search": {"lr": {"low": 0.1, "high": 1}},
            },
            "low": {
                "says": "Less is more.",
                "overrides": [],
                "measure": "m",
                "choose": "v",
                "better": "lower",
            },
        },
    }
)


def test_the_first_trial_is_what_the_configs_say_and_learning_rates_are_everyones() -> None:
    easy, parts = TABLE.problems["easy"], TABLE.components
    plain, smooth = (settings(easy, parts[name], name, 5) for name in ("plain", "smooth"))
    assert plain[0] == smooth[0] == {}
    assert [trial["lr"] for trial in plain[1:]] == [trial["lr"] for trial in smooth[1:]]
    assert len({trial["lr"] for trial in plain[1:]}) == 4
    assert all(0.01 <= float(trial["share"]) <= 0.5 for trial in smooth[1:])
    assert settings(easy, parts["smooth"], "smooth", 3) == smooth[:3]  # more trials go on
    assert all(trial["k"] in "123" for trial in settings(easy, parts["picky"], "picky", 9)[1:])
    assert easy.overrides == ["a=1", "b=2", "c=3"]


class Done:
    """A run that gave a figure."""

    def __init__(self, value: float) -> None:
        self.value = value

    def metric(self, name: str) -> float:
        return self.value


def test_the_best_trial_is_chosen_and_the_first_of_equals() -> None:
    def chosen(problem: str, *values: float) -> object:
        runs = [({"k": str(k)}, Done(value)) for k, value in enumerate(values)]
        return choose(TABLE.problems[problem], runs)[0]  # type: ignore[arg-type]

    assert chosen("easy", 0.1, 0.3, 0.3) == {"k": "1"}
    assert chosen("low", 0.1, 0.3, math.nan) == {"k": "0"}
    assert chosen("easy", math.nan, 0.2) == {"k": "1"}
    assert chosen("easy", math.nan) is None


def test_differences_are_paired_and_corrected_over_the_table() -> None:
    values = {"plain": [0.5, 0.6, 0.7], "smooth": [0.55, 0.66, 0.74], "picky": [0.5, 0.6, 0.7]}
    cells = [
        Cell(component=name, problem=problem, values=found)
        for name, found in values.items()
        for problem in TABLE.problems
    ]
    found = {(cell.component, cell.problem): cell for cell in compared(TABLE, cells)}
    smooth = found["smooth", "easy"]
    expected = stats.ttest_rel(values["smooth"], values["plain"])
    assert smooth.p == pytest.approx(expected.pvalue, rel=2e-3)
    assert smooth.interval == pytest.approx(tuple(expected.confidence_interval()))
    assert smooth.difference == pytest.approx(0.05)
    assert found["smooth", "low"].difference == pytest.approx(-0.05)
    assert smooth.p_holm == pytest.approx(4 * expected.pvalue, rel=2e-3)
    assert found["picky", "easy"].p == 1
    assert found["plain", "easy"].p is None
    broken = [cell for cell in cells if cell.component != "smooth"]
    broken.append(Cell(component="smooth", problem="easy", why="a run failed"))
    assert compared(TABLE, broken)[-1].p_holm is None


def test_mistakes_in_a_table_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'losses'"):
        load_table("loses")
    (tmp_path / "matrix").mkdir()
    file = tmp_path / "matrix" / "mine.yaml"
    file.write_text(json.dumps(TABLE.model_dump() | {"baseline": "plan"}))
    with pytest.raises(UserError, match="did you mean 'plain'"):
        load_table("mine", str(tmp_path))
    file.write_text(json.dumps(TABLE.model_dump() | {"tuning_seed": 2}))
    with pytest.raises(UserError, match="one of the seeds that are compared"):
        load_table("mine", str(tmp_path))
    file.write_text(json.dumps(TABLE.model_dump() | {"trails": 2}))
    with pytest.raises(UserError, match="trails"):
        load_table("mine", str(tmp_path))
    with pytest.raises(UserError, match="no component 'smoth'; did you mean 'smooth'"):
        TABLE.part(["smoth"], None)
    assert list(TABLE.part(["smooth"], ["low"]).components) == ["plain", "smooth"]


def test_a_table_is_run_and_resumed(regrun: Callable[..., Ran], tmp_path: Path) -> None:
    words = ["matrix", "losses", "--components", "stablemax", "--problems", "grokking", "--trials", "2"]
    words += [
        "--seeds",
        "2",
        "steps=4",
        "eval_every=4",
        "dataset.modulus=11",
        "dataset.validation=5",
        "logger=csv",
    ]
    first = regrun(*words, "hydra/launcher=basic", "trainer.threads=1")
    assert first.code == 0, first.err + first.out
    assert "4 runs: 4 complete" in first.out
    file = tmp_path / "outputs" / "matrix" / "losses" / "losses.json"
    result = read_result(file)
    assert [cell.component for cell in result.cells] == ["cross_entropy", "stablemax"]
    assert all(len(cell.values) == 2 and len(cell.tried) == 2 for cell in result.cells)
    assert result.cost.runs == 8
    assert result.cell("stablemax", "grokking").p is not None
    assert "stablemax" in file.with_suffix(".svg").read_text()
    again = regrun(*words, "hydra/launcher=basic", "trainer.threads=1")
    assert again.code == 0
    assert "complete" not in again.out
    assert read_result(file) == result
    refused = regrun(*words, "--record")
    assert refused.code == 2
    assert "as it stands" in refused.err


def test_a_table_of_ones_own_names_what_fails(regrun: Callable[..., Ran], tmp_path: Path) -> None:
    own = tmp_path / "mine" / "matrix"
    own.mkdir(parents=True)
    table = {
        "title": "Mine",
        "says": "Which loss takes soft labels?",
        "baseline": "plain",
        "trials": 1,
        "seeds": 2,
        "components": {"plain": {}, "wrong": {"overrides": ["regularizer=sparse_softmax"]}},
        "problems": {
            "parity": {
                "says": "two classes",
                "overrides": ["dataset=sparse_parity", "dataset.samples=60", "steps=4", "eval_every=4"],
                "measure": "test_accuracy",
                "choose": "train_loss",
                "better": "lower",
            }
        },
    }
    (own / "mine.yaml").write_text(json.dumps(table))
    words = ("logger=csv", "--config-dir", "mine", "hydra/launcher=basic", "trainer.threads=1")
    result = regrun("matrix", "mine", *words)
    assert result.code == 1  # ten of two classes cannot be the largest
    assert "k" in result.out
    found = read_result(tmp_path / "outputs" / "matrix" / "mine" / "mine.json")
    assert found.cell("wrong", "parity").why == "no trial gave train_loss"
    assert len(found.cell("plain", "parity").values) == 2
    assert regrun("matrix", "mine", "seed=3", *words).code == 2
    assert "losses" in regrun("matrix").out
    unknown = regrun("matrix", "mine", "--problems", "party", *words)
    assert "did you mean 'parity'" in unknown.err
