"""An experiment that builds on another: its parts, its tuning and its scales."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result
from regrun.config.checking import checked_config
from regrun.config.composing import compose_config, plain_config
from regrun.config.identity import fingerprint
from regrun.errors import UserError

Command = Callable[..., Result]


def write(folder: Path, name: str, text: str) -> None:
    file = folder / "conf" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"# @package _global_\n{text}\n")


def config(folder: Path, *words: str) -> dict[str, object]:
    return checked_config(compose_config(words, str(folder / "conf")))


def test_it_is_the_other_where_it_says_nothing(tmp_path: Path) -> None:
    """The other's tuning included."""
    write(tmp_path, "experiment/mine", "defaults: [grokking, _self_]")
    ours = config(tmp_path, "experiment=mine")
    assert fingerprint(ours) == fingerprint(plain_config(compose_config(["experiment=grokking"])))


def test_a_part_of_its_own_choice_comes_without_the_others_tuning_and_with_its_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        "experiment/mine",
        "defaults: [grokking, {override /optimizer: sgd}, _self_]\noptimizer: {lr: 0.5}",
    )
    typed = plain_config(compose_config(["experiment=grokking", "optimizer=sgd", "optimizer.lr=0.5"]))
    assert config(tmp_path, "experiment=mine")["procedure"] == typed["procedure"]


def test_a_part_of_the_same_name_keeps_both(tmp_path: Path) -> None:
    write(
        tmp_path,
        "experiment/mine",
        "defaults: [grokking, {override /optimizer: adamw}, _self_]\noptimizer: {lr: 0.5}",
    )
    typed = plain_config(compose_config(["experiment=grokking", "optimizer.lr=0.5"]))
    assert config(tmp_path, "experiment=mine")["procedure"] == typed["procedure"]


def test_generations(tmp_path: Path) -> None:
    write(
        tmp_path,
        "experiment/child",
        "defaults: [grokking, {override /optimizer: sgd}, _self_]\noptimizer: {lr: 0.5}",
    )
    write(tmp_path, "experiment/grandchild", "defaults: [child, _self_]\noptimizer: {momentum: 0.9}")
    words = ["experiment=grokking", "optimizer=sgd", "optimizer.lr=0.5", "optimizer.momentum=0.9"]
    assert (
        config(tmp_path, "experiment=grandchild")["procedure"]
        == plain_config(compose_config(words))["procedure"]
    )


def test_what_the_command_line_chooses_is_free_of_all_of_them(tmp_path: Path) -> None:
    write(
        tmp_path,
        "experiment/mine",
        "defaults: [grokking, {override /optimizer: sgd}, _self_]\noptimizer: {lr: 0.5}",
    )
    ours = config(tmp_path, "experiment=mine", "optimizer=adam")
    typed = plain_config(compose_config(["experiment=grokking", "optimizer=adam"]))
    assert ours["procedure"] == typed["procedure"]


def test_a_scale_that_only_the_other_has_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "experiment/mine", "defaults: [grokking, {override /regularizer: stablemax}, _self_]")
    config(tmp_path, "experiment=mine", "scale=small")
    with pytest.raises(UserError, match=r"mine has no scale smoke.*scales: \{smoke: \{like: grokking\}\}"):
        config(tmp_path, "experiment=mine", "scale=smoke")
    write(
        tmp_path,
        "experiment/mine",
        "defaults: [grokking, {override /regularizer: stablemax}, _self_]\nscales: {smoke: {like: grokking}}",
    )
    ours = config(tmp_path, "experiment=mine", "scale=smoke")
    typed = plain_config(compose_config(["experiment=grokking", "scale=smoke", "regularizer=stablemax"]))
    assert ours["procedure"] == typed["procedure"]


@pytest.mark.parametrize(
    "entry", ["/experiment: grokking", "override /experiment: grokking", "experiment: grokking"]
)
def test_choosing_an_experiment_from_an_experiment_says_how_it_is_done(
    regrun: Command, tmp_path: Path, entry: str
) -> None:
    write(tmp_path, "experiment/mine", f"defaults: [{{{entry}}}, _self_]")
    result = regrun("--config-dir", "conf", "experiment=mine")
    assert result.code == 2
    assert "defaults: [grokking, _self_]" in result.err


def test_an_experiment_that_builds_on_itself(regrun: Command, tmp_path: Path) -> None:
    write(tmp_path, "experiment/mine", "defaults: [mine, _self_]")
    result = regrun("--config-dir", "conf", "experiment=mine")
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
