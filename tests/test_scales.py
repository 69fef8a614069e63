"""A paper's one file: its scales in the language of arms, and the procedures that only it uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import SMOKE, Result, only_record
from regrun.config.catalogue import find, names
from regrun.config.checking import checked_config
from regrun.config.composing import compose_config, plain_config
from regrun.config.typed import task_overrides
from regrun.errors import UserError
from regrun.records.record import Record
from regrun.reproduction.experiment import load_experiment

Command = Callable[..., Result]
PARENT = """\
defaults:
  - override /dataset: modular_arithmetic
  - override /model: mlp
  - override /optimizer: sgd
paper: {title: Mine}
dataset: {modulus: 23}
model: {hidden: [8, 8]}
optimizer: {lr: 0.3}
steps: 50
arms:
  plain: []
  long: [steps=500]
  adam: [optimizer=adamw, optimizer.lr=0.01]
  family: {values: [1, 2], overrides: ["model.hidden=[{}]"]}
claims: {}
"""


def write(folder: Path, text: str, name: str = "mine") -> None:
    file = folder / "conf" / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def composed(folder: Path, *words: str, name: str = "mine") -> dict[str, Any]:
    return checked_config(compose_config([f"experiment={name}", *words], str(folder / "conf")))


def arms(folder: Path, scale: str, name: str = "mine") -> dict[str, Any]:
    planned = load_experiment(name, scale, [], str(folder / "conf")).planned
    return {name: arm.config for name, arm in planned.items()}


def test_a_list_is_what_one_would_type_and_an_arm_may_say_otherwise(tmp_path: Path) -> None:
    write(tmp_path, f"{PARENT}scales:\n  smoke: [steps=2, dataset.modulus=5, 'model.hidden=[4]']\n")
    found = arms(tmp_path, "smoke")
    assert found["plain"]["steps"] == 2
    assert found["long"]["steps"] == 500
    assert found["adam"]["dataset"]["modulus"] == 5
    assert found["family=2"]["procedure"]["model"]["hidden"] == [2]
    small = arms(tmp_path, "small")
    assert small["plain"]["steps"] == 50
    assert small["plain"]["dataset"]["modulus"] == 23


def test_last_words_hold_whatever_an_arm_says(tmp_path: Path) -> None:
    write(
        tmp_path,
        f"{PARENT}scales:\n  smoke: {{base: [dataset.modulus=5], last: [steps=2, optimizer.lr=7]}}\n",
    )
    found = arms(tmp_path, "smoke")
    assert {name: config["steps"] for name, config in found.items()} == dict.fromkeys(found, 2)
    assert {config["optimizer"]["lr"] for config in found.values()} == {7}
    # They are typed only where the arm says something of it, or chooses the part that it is of.
    written = composed(tmp_path, "scale=smoke")["arms"]
    assert written["plain"] == []
    assert written["long"] == ["steps=2"]
    assert written["adam"] == ["optimizer=adamw", "optimizer.lr=7"]
    assert composed(tmp_path, "scale=smoke")["steps"] == 2  # of a run that is no arm, too


def test_a_scale_chooses_parts_which_come_without_the_tuning_of_those_they_replace(tmp_path: Path) -> None:
    write(
        tmp_path,
        PARENT
        + "scales: {paper: [model=transformer, model.layers=3, optimizer=adamw, dataset.modulus=11]}\n",
    )
    ours = composed(tmp_path, "scale=paper")
    typed = composed(
        tmp_path,
        "scale=small",
        "model=transformer",
        "model.layers=3",
        "optimizer=adamw",
        "dataset.modulus=11",
    )
    assert ours["procedure"] == typed["procedure"]
    assert "hidden" not in ours["procedure"]["model"]
    assert ours["procedure"]["optimizer"]["lr"] != 0.3
    # What is typed, or an arm, may choose another, which is as its own file has it.
    other = composed(tmp_path, "scale=paper", "optimizer=muon")
    assert other["procedure"]["optimizer"]["_target_"].endswith("MuonWithAdamW")
    assert other["procedure"]["model"] == ours["procedure"]["model"]
    found = arms(tmp_path, "paper")
    assert found["adam"]["procedure"]["optimizer"]["lr"] == 0.01
    assert found["plain"]["procedure"] == ours["procedure"]


def test_what_a_scale_chooses_is_not_taken_for_what_was_typed(regrun: Command, tmp_path: Path) -> None:
    write(
        tmp_path, f"{PARENT}scales:\n  smoke: [model=transformer, dataset.modulus=5, steps=1, eval_every=1]\n"
    )
    cfg = compose_config(["experiment=mine", "scale=smoke", "optimizer.lr=0.5"], str(tmp_path / "conf"))
    assert task_overrides(cfg) == ["experiment=mine", "scale=smoke", "optimizer.lr=0.5"]
    own = ("--config-dir", "conf", "experiment=mine", "logger=csv")
    assert regrun(*own, "scale=smoke").code == 0
    one = Record(only_record(tmp_path))
    assert one.directory.parent.name == "plain"
    assert "transformer" not in one.manifest()["command"]
    again = regrun("-m", *own, "scale=smoke", "seed=0,1")
    assert again.code == 0, again.err
    assert one.directory.name in {p.name for p in (tmp_path / "outputs" / "mine" / "plain").iterdir()}
    assert len(list((tmp_path / "outputs" / "mine" / "plain").iterdir())) == 2


def test_a_scale_is_like_that_of_an_experiment_that_it_builds_on(tmp_path: Path) -> None:
    scales = "scales:\n  smoke: {base: [dataset.modulus=5, optimizer=adamw], last: [steps=2]}\n"
    write(tmp_path, PARENT + scales)
    write(
        tmp_path,
        "defaults: [mine, _self_]\nmodel: {hidden: [6]}\narms: {longer: [steps=900]}\n"
        "scales: {smoke: {like: mine, base: [optimizer.lr=0.2]}}\n",
        "child",
    )
    found = arms(tmp_path, "smoke", "child")
    assert {*found} == {"plain", "long", "adam", "family=1", "family=2", "longer"}
    assert {config["steps"] for config in found.values()} == {2}
    assert found["plain"]["procedure"]["model"]["hidden"] == [6]
    assert found["plain"]["procedure"]["optimizer"]["lr"] == 0.2
    assert found["plain"]["procedure"]["optimizer"]["_target_"].endswith("AdamW")
    assert found["longer"]["dataset"]["modulus"] == 5


@pytest.mark.parametrize(
    ("scales", "says"),
    [
        ("{smoke: 3}", "expected a list of overrides"),
        ("{smoke: {bases: []}}", "unknown key 'bases'; did you mean 'base'?"),
        ("{smoke: [3]}", "expected a list of overrides"),
        ("{smoke: [seed=3]}", "seed=3 says where or how to run"),
        ("{smoke: [hydra.run.dir=/tmp/x]}", "says where or how to run"),
        ("{smoke: {last: [outputs=x]}}", "outputs=x says where or how to run"),
        ("{smoke: [~steps]}", "expected key=value"),
        ("{smoke: [dataset.modulo=3]}", "modulo"),
        ("{smoke: [model=mpl]}", "unknown model 'mpl'; did you mean 'mlp'?"),
        ("{smoke: {like: nosuch}}", "nosuch has no scale smoke"),
        ("{smoke: [steps=4, steps.x=3]}", "a part of steps.x has a value already"),
        ("{smoke: {like: mine}}", "takes its defaults from itself"),
        ("[smoke]", "expected names"),
    ],
)
def test_a_mistake_in_a_scale_is_one_line(regrun: Command, tmp_path: Path, scales: str, says: str) -> None:
    write(tmp_path, f"{PARENT}scales: {scales}\n")
    result = regrun("--config-dir", "conf", "experiment=mine", "scale=smoke", "logger=csv")
    assert result.code == 2
    assert says in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_folder_of_scales_says_where_they_are_written(regrun: Command, tmp_path: Path) -> None:
    write(tmp_path, PARENT)
    (tmp_path / "conf" / "scale_for").mkdir()
    result = regrun("--config-dir", "conf", "experiment=mine")
    assert result.code == 2
    assert "scales: {smoke:" in result.err


def test_a_papers_procedure_is_found_by_its_paper(regrun: Command, tmp_path: Path) -> None:
    name = "rethinking_generalization/finite_sample_expressivity"
    assert name in names("procedure")
    entry = find(f"procedure={name}")
    assert entry.says
    assert entry.text.startswith("_target_: regrun.papers.")
    shown = regrun("show", f"procedure={name}")
    assert shown.code == 0
    assert "_target_" in shown.out
    assert "claims" not in shown.out
    run = plain_config(compose_config([f"procedure={name}"]))["procedure"]
    assert run["_target_"].endswith("rethinking_generalization.FiniteSampleExpressivity")
    result = regrun(*SMOKE, "procedure=finite_sample_expressivity")
    assert result.code == 2
    assert f"did you mean '{name}'" in result.err


def test_what_is_listed_is_read_however_it_is_written(regrun: Command, tmp_path: Path) -> None:
    write(
        tmp_path,
        "paper:\n  title: >-\n    A title in\n    two lines\narms: {a: []}\n"
        "procedures:\n  twice:  # Trains.\n    steps: 3\n",
        "sub/mine",
    )
    result = regrun("list", "--config-dir", "conf", "sub/mine")
    assert "A title in two lines" in result.out
    assert "Trains." in result.out
    shown = regrun("show", "--config-dir", "conf", "procedure=sub/mine/twice")
    assert shown.out.splitlines()[1:] == ["steps: 3"]


def test_numbers_of_an_arms_family_are_read_as_hydra_reads_them(tmp_path: Path) -> None:
    """Where the scale's last words are added to the arms, too: 1e-3 is a number, and its name 0.001."""
    write(
        tmp_path,
        "arms: {rate: {values: [1e-3, 1e-2], overrides: ['optimizer.lr={}', steps=9]}}\n"
        "scales: {smoke: {last: [steps=2]}}\n",
    )
    assert {*arms(tmp_path, "small")} == {*arms(tmp_path, "smoke")} == {"rate=0.001", "rate=0.01"}
    assert {config["steps"] for config in arms(tmp_path, "smoke").values()} == {2}


def test_a_users_paper_has_procedures_of_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        "defaults: [{override /procedure: mine/twice}]\narms: {a: []}\n"
        "procedures:\n  twice:  # Trains.\n    defaults: [/procedure/supervised@first, _self_]\n"
        "    _target_: regrun.papers.hash_encoders.HashCodes\n    neighbours: ${steps}\n",
    )
    config = compose_config(["experiment=mine", "steps=3"], str(tmp_path / "conf"))
    procedure = plain_config(config)["procedure"]
    assert procedure["neighbours"] == 3
    assert procedure["first"]["steps"] == 3
    assert "procedures" not in plain_config(config)
    with pytest.raises(UserError, match="unknown procedure 'mine/thrice'"):
        compose_config(["experiment=mine", "procedure=mine/thrice"], str(tmp_path / "conf"))


@pytest.mark.parametrize(
    "words",
    [
        ("experiment=maxsup", "scale=paper"),
        ("-m", "experiment=maxsup", "scale=paper", "seed=0,1"),
        ("show", "maxsup", "scale=paper"),
        ("reproduce", "maxsup", "--scale", "paper"),
        ("verify", "maxsup", "--scale", "paper"),
    ],
    ids=" ".join,
)
def test_a_scale_that_is_not_there_is_refused(
    regrun: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """It ran as the small one, and would have been recorded as the paper's."""
    result = regrun(*words)
    assert result.code == 2
    assert "maxsup has no paper scale, only smoke and small" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
