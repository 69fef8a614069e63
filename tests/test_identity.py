from __future__ import annotations

import copy
from typing import Any

import pytest

from regrun.config.arms import arm_name, meaning, read_arms
from regrun.config.composing import compose_config, plain_config
from regrun.config.identity import fingerprint


def composed(*overrides: str) -> dict[str, Any]:
    return plain_config(compose_config(overrides))


BASE = composed("experiment=grokking")


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "steps=3001",
        "eval_every=25",
        "batch_size=64",
        "dataset.modulus=61",
        "model.hidden=[128,129]",
        "optimizer.lr=0.02",
        "regularizer=stablemax",
        "probe=none",
        "trainer.precision=64-true",
        "schedule=cosine",
        "probe_errors=skip",
    ],
)
def test_whatever_affects_the_numbers_makes_another_run(override: str) -> None:
    assert fingerprint(composed("experiment=grokking", override)) != fingerprint(BASE)


@pytest.mark.parametrize(
    "override",
    [
        "logger=csv",
        "logger.wandb.mode=offline",
        "outputs=elsewhere",
        "data_dir=/elsewhere",
        "force=true",
        "checkpoint_seconds=1",
        "trainer.threads=1",
        "trainer=ddp",
        "trainer.devices=2",
        "seed=0",
        "steps=3000",
        "optimizer.lr=1e-2",
    ],
)
def test_nothing_else_does(override: str) -> None:
    assert fingerprint(composed("experiment=grokking", override)) == fingerprint(BASE)


def test_an_experiment_is_its_parts() -> None:
    by_hand = copy.deepcopy(BASE)
    by_hand |= {"paper": {}, "arms": {}, "claims": {}, "scale": "smoke"}
    assert fingerprint(by_hand) == fingerprint(BASE)


def test_regularizers_act_in_order_so_their_order_counts() -> None:
    one = composed("regularizer=[l1,perp_grad]")
    other = composed("regularizer=[perp_grad,l1]")
    assert fingerprint(one) != fingerprint(other)


ARMS = {
    "base": [],
    "method": ["regularizer=stablemax", "optimizer.betas=[0.9,0.999]"],
    "small": ["optimizer.eps=1e-8"],
}


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "base"),
        (["experiment=x", "seed=3", "logger=csv", "trainer.devices=2", "scale=smoke"], "base"),
        (["regularizer=stablemax", "optimizer.betas=[0.9,0.999]"], "method"),
        (["optimizer.betas=[0.9, 0.999]", "seed=1", "regularizer=[stablemax]"], "method"),
        (["regularizer=stablemax"], "regularizer=stablemax"),
        (["optimizer.eps=1e-08"], "small"),
        (["steps=9", "optimizer.eps=1", "steps=5"], "optimizer.eps=1,steps=5"),
        (["trainer.precision=64-true"], "trainer.precision=64-true"),
        (["dataset.operation='a/b'"], "dataset.operation=_a_b"),
    ],
)
def test_an_arm_is_recognized_by_its_overrides(overrides: list[str], name: str) -> None:
    assert arm_name(overrides, read_arms(ARMS)) == name


def test_without_arms_the_bare_experiment_is_the_default() -> None:
    assert arm_name([], {}) == "default"
    assert meaning(["a=[x]", "b=1e-8"]) == meaning(["b=1e-08", "a=x"])
    assert meaning(["model.hidden=[64]"]) != meaning(["model.hidden=64"])
    assert meaning(["dataset.operation='a*b'"]) == meaning(['dataset.operation="a*b"'])
