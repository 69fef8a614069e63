"""What is asked for has an effect, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError

from conftest import Result, records
from regrun.config.catalogue import components
from regrun.config.checking import checked_config
from regrun.config.composing import compose_config, plain_config
from regrun.config.effect import references, touches
from regrun.config.identity import fingerprint
from regrun.errors import UserError

Command = Callable[..., Result]
ANOTHER = (
    *("label_noise", "pixels", "augmentation", "attention", "model", "optimizer", "schedule"),
    *("regularizer", "probe"),
)
VALUES = ("steps", "batch_size", "eval_every", "eval_train_samples")


@cache
def names(group: str) -> list[str]:
    return [entry.name for entry in components() if entry.group == group]


def identity(*words: str) -> str:
    return fingerprint(plain_config(compose_config(words)))


@pytest.mark.parametrize("procedure", names("procedure"))
def test_what_a_procedure_reads_is_what_changes_it(procedure: str) -> None:
    """Each group and value is put aside in turn: the procedure changes just where it counts as read."""
    own = ["dataset=cifar10_crops"] if procedure == "ferkd/crop_distillation" else []
    composed = compose_config([f"procedure={procedure}", *own])
    raw: Any = OmegaConf.to_container(composed, resolve=False)
    read = set(references(raw))
    whole = OmegaConf.to_container(composed.procedure, resolve=True)
    for key in (*ANOTHER, "dataset", *VALUES):
        other = composed.copy()
        OmegaConf.set_struct(other, False)
        other[key] = {"_target_": "put.Aside"}
        try:
            changed = OmegaConf.to_container(other.procedure, resolve=True) != whole
        except InterpolationKeyError:  # it reads a part of what was put aside
            changed = True
        assert changed == touches(key, read), key


@pytest.mark.parametrize(
    "word", ["model=small_cnn", "optimizer=sgd", "augmentation=flip", "probe=weight_norms", "steps=7"]
)
@pytest.mark.parametrize(
    "procedure",
    [
        "supervised",
        "z_loss/loss_times",
        "exact_inductive_bias/kernel_bias",
        "hash_encoders/hash_codes",
        "sdm/verification",
    ],
)
def test_a_choice_changes_what_a_run_is_or_is_refused(procedure: str, word: str) -> None:
    effective(f"procedure={procedure}", word)


@pytest.mark.parametrize("words", ["label_noise=symmetric", "pixels=shuffled"])
@pytest.mark.parametrize("dataset", names("dataset"))
def test_of_every_dataset(dataset: str, words: str) -> None:
    effective(f"dataset={dataset}", words)


@pytest.mark.parametrize("model", names("model"))
def test_of_every_model(model: str) -> None:
    effective(f"model={model}", "attention=linear")


def effective(base: str, words: str) -> None:
    composed = compose_config([base, words])
    if identity(base, words) != identity(base):
        checked_config(composed)
        return
    with pytest.raises(UserError, match=f"{words} would change nothing"):
        checked_config(composed)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dataset=digits", "label_noise=symmetric"], "the dataset digits does not read label_noise"),
        (
            ["dataset=digits", "label_noise=symmetric", "label_noise.rate=0.9"],
            "label_noise=symmetric would change nothing",
        ),
        (
            ["dataset=modular_arithmetic", "pixels=shuffled"],
            "the dataset modular_arithmetic does not read pixels",
        ),
        (["model=mlp", "attention=linear"], "the model mlp does not read attention"),
        (["procedure=z_loss/loss_times", "model=mlp"], "the procedure z_loss/loss_times does not read model"),
        (["procedure=z_loss/loss_times", "batch_size=3"], "batch_size=3 would change nothing"),
        (["procedure.steps=3", "steps=5"], "steps=5 would change nothing"),
        (["+foo=3"], "+foo=3 would change nothing"),
        (["+foo.bar=3"], "nothing"),
        (["experiment=maxsup", "dataset=digits"], "label_noise=clean leaves it out"),
    ],
    ids=str,
)
def test_what_nothing_reads_is_refused(regrun: Command, tmp_path: Any, words: list[str], says: str) -> None:
    for multirun in ((), ("-m",)):
        result = regrun(*multirun, *words, "scale=smoke", "logger=csv")
        assert result.code == 2
        assert says in result.err
        assert len(result.err.strip().splitlines()) == 1
        assert records(tmp_path) == []


def test_an_arm_that_changes_nothing_is_named(regrun: Command, tmp_path: Any) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [{override /dataset: digits}]\n"
        "arms: {clean: [], noisy: [label_noise=symmetric]}\nscales: {smoke: []}\n"
    )
    result = regrun("reproduce", "mine", "--config-dir", "conf", "--scale", "smoke")
    assert result.code == 2
    assert "the arm noisy: label_noise=symmetric would change nothing" in result.err


def test_a_key_that_a_users_own_config_reads_has_an_effect() -> None:
    raw: Mapping[str, Any] = {
        "procedure": {"a": "${mine.share}", "b": ["${other}"]},
        "mine": {"share": "${deep}"},
    }
    read = set(references(raw))
    assert read == {"mine.share", "deep", "other"}
    assert touches("mine", read)
    assert touches("mine.share", read)
    assert touches("deep.er", read)
    assert not touches("mine.sharing", read)
    assert not touches("m", read)
