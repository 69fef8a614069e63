"""Which files a run's numbers depend on."""

from __future__ import annotations

import importlib
import sys

from regrun.reproduction.experiment import load_experiment
from regrun.sources import defining_module, source_hashes


def test_re_exports_are_followed() -> None:
    assert defining_module("regrun.data.ModularArithmetic") == "regrun.data.modular_arithmetic"
    assert defining_module("regrun.data.ModularArithmetic.load") == "regrun.data.modular_arithmetic"
    assert defining_module("regrun.data.base") == "regrun.data.base"


def test_an_experiment_depends_on_what_it_uses_and_on_nothing_else() -> None:
    modules = load_experiment("grokking", "small", [], None).source_hashes()
    for used in (
        "losses.cross_entropy",
        "regularizers.base",
        "tasks.supervised",
        "models.mlp",
        "data.base",
    ):
        assert f"regrun.{used}" in modules
    for unused in ("optimizers.muon", "models.small_transformer", "console", "record"):
        assert f"regrun.{unused}" not in modules


def test_every_module_that_a_component_imports_is_found() -> None:
    """Against Python's own account of what importing loads."""
    importlib.import_module("regrun.procedures.training")
    found = source_hashes(["regrun.procedures.training.SupervisedTraining"])
    assert {"regrun.tasks.supervised", "regrun.data.base", "regrun.regularizers.base"} <= found.keys()
    assert found.keys() <= {name for name in sys.modules if name.startswith("regrun.")}
    assert "regrun.optimizers.schedules" not in found  # chosen in the config, not imported


def test_what_is_not_regruns_is_left_out() -> None:
    assert source_hashes(["torch.optim.SGD", "somebody.elses.Class", "regrun.nothing.here"]) == {}
