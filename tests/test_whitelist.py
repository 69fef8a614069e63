from __future__ import annotations

import builtins
import importlib
import inspect
import os
import pathlib
import pkgutil
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

import regrun
from regrun.config.placement import check_components
from regrun.config.whitelist import check_target_names, read_trust
from regrun.contracts.procedure import Procedure
from regrun.data.base import Dataset
from regrun.errors import UserError
from regrun.loggers.base import Logger
from regrun.losses.base import ClassificationLoss
from regrun.models.attention import Attention
from regrun.probes.base import Probe
from regrun.regularizers.base import Regularizer

# What places of a run ask for, and the class that everything given for one must make.
PLACES: Mapping[str, tuple[Any, tuple[type, ...]]] = {
    "logger": (Logger, ()),
    "procedure": (Procedure, ()),
    "dataset": (Dataset, (Dataset,)),
    "model": (Callable[..., nn.Module], (nn.Module,)),
    "optimizer": (Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer], (Optimizer,)),
    "attention": (Callable[[], Attention], (Attention,)),
    "regularizer": (Regularizer | ClassificationLoss, (Regularizer, ClassificationLoss)),
    "probe": (Probe, (Probe,)),
    "augmentation": (nn.Module, (nn.Module,)),
    "loss": (Callable[[Tensor, Tensor], Tensor], ()),
    "anything": (Any, (nn.Module, Optimizer, Dataset)),
}


def modules_of(package: ModuleType, most: int) -> list[ModuleType]:
    """A package and its modules, as far as they can be imported."""
    found = [package]
    for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if len(found) == most or "__main__" in entry.name or "test" in entry.name:
            continue
        try:
            found.append(importlib.import_module(entry.name))
        except BaseException:  # an optional dependency, say
            continue
    return found


@cache
def reachable() -> list[str]:
    """Dotted paths to callables of torch, regrun and the standard library, and to what these import."""
    modules = [builtins, os, subprocess, shutil, pathlib, importlib]
    modules += [*modules_of(regrun, 1000), *modules_of(torch.nn, 200), *modules_of(torch.optim, 60)]
    paths = []
    for module in modules:
        for name, value in vars(module).items():
            if callable(value):
                paths.append(f"{module.__name__}.{name}")
            elif isinstance(value, ModuleType):
                paths += [
                    f"{module.__name__}.{name}.{inner}" for inner in ("system", "load", "rmtree", "run")
                ]
    return paths


def resolve(path: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None


def is_component(found: object, bases: tuple[type, ...]) -> bool:
    """Written without the code that is tested: a class of ours or torch's of the kind, or what makes one."""
    home = getattr(found, "__module__", "") or ""
    if not home.startswith(("regrun.", "torch.nn", "torch.optim")):
        return False
    if not inspect.isclass(found):
        hints = getattr(found, "__annotations__", {})
        return inspect.isfunction(found) and home.startswith("regrun.") and "return" in hints
    if bases:
        return issubclass(found, bases) or list(inspect.signature(found.__call__).parameters) == [
            "self",
            "context",
        ]
    return any(callable(getattr(found, name, None)) for name in ("__call__", "publish"))


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_only_components_may_be_named(data: st.DataObject) -> None:
    """Of all that a dotted path can reach, in every place: refused, unless it is what the place is for."""
    path = data.draw(st.sampled_from(reachable()))
    place = data.draw(st.sampled_from(list(PLACES)))
    partial = data.draw(st.booleans())
    wanted, bases = PLACES[place]
    try:
        check_components({"_target_": path, "_partial_": partial}, wanted, place)
    except UserError as error:
        if "needs" not in str(error):  # it fits, and lacks a parameter
            return
    assert is_component(resolve(path), bases), path


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "regrun.records.record.os.system",
        "regrun.records.record.shutil.rmtree",
        "regrun.records.files.write_atomically",
        "regrun.records.record.Record",
        "regrun.cli.main",
        "regrun.config.whitelist.locate",
        "regrun.runs.run.Run",
        "regrun.verbs.report.run",
        "regrun.data.download.fetch",
        "torch.nn.modules.module.functools.partial",
        "torch.nn.modules.module.torch.load",
        "torch.nn.utils.clip_grad_norm_",
        "torch.load",
        "torch.hub.load",
        "regrunner.evil",
        "subprocess.run",
        "hydra.utils.get_method",
        "hydra_plugins.regrun_sweeper.itertools.chain",
    ],
)
def test_what_is_no_component_is_refused_everywhere(target: str, place: str) -> None:
    for partial in (False, True):
        with pytest.raises(UserError):
            check_components({"_target_": target, "_partial_": partial}, PLACES[place][0], place)


@pytest.mark.parametrize(
    ("place", "target", "partial"),
    [
        ("model", "regrun.models.MLP", True),
        ("model", "torch.nn.Linear", True),
        ("optimizer", "torch.optim.AdamW", True),
        ("optimizer", "regrun.optimizers.MuonWithAdamW", True),
        ("regularizer", "regrun.regularizers.PerpGrad", False),
        ("regularizer", "regrun.losses.StableMaxCrossEntropy", False),
        ("logger", "regrun.loggers.WandbLogger", False),
    ],
)
def test_what_its_place_asks_for_is_not(place: str, target: str, partial: bool) -> None:
    check_components({"_target_": target, "_partial_": partial}, PLACES[place][0], place)


@pytest.mark.parametrize(
    ("place", "target", "partial"),
    [
        ("model", "regrun.models.MLP", False),  # a network where what makes one is asked for
        ("model", "torch.optim.AdamW", True),
        ("optimizer", "torch.nn.ReLU", True),
        ("dataset", "regrun.models.MLP", False),
        ("regularizer", "regrun.probes.WeightNorms", False),
        ("probe", "regrun.regularizers.PerpGrad", False),
        ("logger", "regrun.data.Digits", False),
        ("procedure", "regrun.loggers.WandbLogger", False),
    ],
)
def test_a_component_in_another_place_is_refused(place: str, target: str, partial: bool) -> None:
    with pytest.raises(UserError, match="is not"):
        check_components({"_target_": target, "_partial_": partial}, PLACES[place][0], place)


def test_a_component_within_a_component_is_looked_at_too() -> None:
    inner = {"_target_": "regrun.loggers.WandbLogger"}
    outer = {"_target_": "regrun.losses.CrossEntropy", "probability_map": inner}
    with pytest.raises(
        UserError, match=r"regularizer\.probability_map: regrun\.loggers\.WandbLogger is not a Prob"
    ):
        check_components(outer, Regularizer | ClassificationLoss, "regularizer")


@pytest.mark.parametrize("mark", ["_args_", "_recursive_", "_convert_", "_mode_"])
def test_hydras_other_ways_of_calling_are_refused(mark: str) -> None:
    with pytest.raises(UserError, match=mark):
        check_target_names({"a": {"_target_": "regrun.models.MLP", mark: []}})


def test_partial_is_true_or_false() -> None:
    with pytest.raises(UserError, match=r"_partial_: expected true or false, got 'yes'"):
        check_target_names({"a": {"_target_": "regrun.models.MLP", "_partial_": "yes"}})


def test_trust_comes_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"_target_": "torchmetrics.Metric"}
    with pytest.raises(UserError, match="REGRUN_TRUST=torchmetrics"):
        check_target_names(node)
    monkeypatch.setenv("REGRUN_TRUST", "other, torchmetrics")
    with pytest.raises(UserError, match="REGRUN_TRUST=torchmetrics"):
        check_target_names(node)  # set after the command began, by a config, say
    read_trust()
    check_target_names(node)
    check_components(node, nn.Module)
    with pytest.raises(UserError, match="is not a Dataset"):
        check_components(node, Dataset)
    monkeypatch.undo()
    read_trust()


def test_a_misspelt_target_or_parameter_is_named() -> None:
    with pytest.raises(UserError, match=r"no 'MPL' in regrun\.models; did you mean 'MLP'"):
        check_components({"_target_": "regrun.models.MPL"}, nn.Module, "model")
    node = {"_target_": "regrun.models.MLP", "_partial_": True, "hiden": [3]}
    with pytest.raises(UserError, match="model: MLP has no parameter 'hiden'; did you mean 'hidden'"):
        check_components(node, Callable[..., nn.Module], "model")


@pytest.mark.parametrize(
    ("value", "wanted", "says"),
    [
        ("3", int, "expected int, got '3'"),
        (True, int, "expected int, got True"),
        (True, float, "expected float, got True"),
        (float("nan"), float, "expected float, got nan"),
        ([1.0, "2"], list[float], "expected float, got '2'"),
        ([1.0], tuple[float, float], "got \\[1.0\\]"),
        ({"a": 1}, float, "expected float"),
        (3, Mapping[str, Probe], "by name, a Probe, got 3"),
        ({"x": 3}, Mapping[str, Probe], "x: expected a Probe, got 3"),
        ("mlp", Callable[..., nn.Module], "expected what makes a Module, got 'mlp'"),
        (None, int, "expected int, got None"),
    ],
)
def test_values_are_what_their_place_asks_for(value: object, wanted: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        check_components(value, wanted, "key")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (3, float),
        (None, int | None),
        ([1, 2], tuple[float, ...]),
        ([[1], [2]], list[list[int]]),
        ({}, Mapping[str, Probe]),
    ],
)
def test_values_that_are_pass(value: object, wanted: Any) -> None:
    check_components(value, wanted, "key")


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGRUN_TRUST", "nosuchpackage")
    read_trust()
    with pytest.raises(UserError, match="no module 'nosuchpackage'"):
        check_components({"_target_": "nosuchpackage.Thing"}, nn.Module)
    monkeypatch.undo()
    read_trust()
