from __future__ import annotations

from pathlib import Path

import pytest

from regrun.errors import UserError
from regrun.whitelist import check_parameters, check_target_names, check_targets


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "regrun.record.os.system",
        "regrun.record.shutil.rmtree",
        "torch.nn.modules.module.functools.partial",
        "torch.load",
        "torch.hub.load",
        "regrunner.evil",
        "subprocess.run",
        "hydra.utils.get_method",
        "hydra_plugins.regrun_sweeper.itertools.chain",
    ],
)
def test_what_is_not_ours_is_refused(target: str) -> None:
    with pytest.raises(UserError, match=r"outside the packages|is really"):
        check_targets({"a": [{"b": {"_target_": target}}]})


@pytest.mark.parametrize(
    "target", ["regrun.models.MLP", "torch.optim.AdamW", "torch.nn.ReLU", "regrun.optimizers.cosine"]
)
def test_what_is_ours_is_not(target: str) -> None:
    check_targets({"a": {"_target_": target}})


def test_a_logging_factory_is_a_target_too() -> None:
    with pytest.raises(UserError, match=r"os\.system"):
        check_target_names({"hydra": {"job_logging": {"handlers": {"x": {"()": "os.system"}}}}})


def test_hydras_own_plugins_are_hydras_affair_only_where_they_belong() -> None:
    launcher = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
    check_target_names({"hydra": {"launcher": launcher}})
    with pytest.raises(UserError, match="outside"):
        check_target_names({"model": launcher})


def test_trust_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="REGRUN_TRUST=json"):
        check_targets({"_target_": "json.JSONDecoder"})
    monkeypatch.setenv("REGRUN_TRUST", "other, json")
    check_targets({"_target_": "json.JSONDecoder"})


def test_a_misspelt_target_or_parameter_is_named() -> None:
    with pytest.raises(UserError, match=r"no 'MPL' in regrun\.models"):
        check_targets({"model": {"_target_": "regrun.models.MPL"}})
    with pytest.raises(UserError, match="model: MLP has no parameter 'hiden'; did you mean 'hidden'"):
        check_parameters({"model": {"_target_": "regrun.models.MLP", "_partial_": True, "hiden": [3]}})


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REGRUN_TRUST", "nosuchpackage")
    with pytest.raises(UserError, match="no module 'nosuchpackage'"):
        check_targets({"_target_": "nosuchpackage.Thing"})
