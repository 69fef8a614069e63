"""The package as a user gets it: the wheel, the command's start, a package of the user's own."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import CHECKOUT, Result, only_record
from regrun.records.record import Record, Status

Command = Callable[..., Result]
OWN = CHECKOUT / "tests" / "own_paper"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of what is committed or would be."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_configs_and_nothing_stray(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    configs = {str(f.relative_to(CHECKOUT)) for f in (CHECKOUT / "conf").rglob("*.yaml")}
    assert {n.removeprefix("regrun/") for n in names if n.startswith("regrun/conf/")} == configs
    assert "hydra_plugins/regrun_sweeper/__init__.py" in names
    assert "regrun/report/templates/report.html" in names
    assert {n.split("/")[0] for n in names} == {"regrun", "hydra_plugins", names[-1].split("/")[0]}


def test_an_installed_wheel_works_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(environment),
        "install",
        "-q",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    # Its dependencies are those of this environment, which has regrun only as an editable checkout.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    regrun = [str(environment / "bin" / "regrun")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = [str(environment / "bin" / "python"), "-c", "import regrun; print(regrun.__file__)"]
    run = {"cwd": elsewhere, "text": True, "capture_output": True, "check": True}
    assert str(environment) in subprocess.run(where, **run).stdout
    assert "grokking" in subprocess.run([*regrun, "list"], **run).stdout
    words = ["experiment=grokking", "scale=smoke", "regularizer=stablemax", "logger=csv"]
    subprocess.run([*regrun, *words], **run)
    subprocess.run([*regrun, "-m", *words, "seed=0,1"], **run)
    assert len(list(elsewhere.glob("outputs/grokking/*/*/result.json"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "parity"],
        ["show", "grokking"],
        ["report"],
        ["verify", "grokking"],
        ["reproduce", "nonsense"],
        ["--help"],
        ["nonsense"],
    ],
)
def test_what_needs_no_torch_imports_none(words: list[str], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from regrun.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'wandb', 'torchmetrics'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert sys.argv[1] != 'list' or 'hydra' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program, *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_paper_of_ones_own(regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What CONTRIBUTING.md walks through, word for word."""
    shutil.copytree(OWN, tmp_path, dirs_exist_ok=True)
    own = ["--config-dir", "conf"]
    untrusted = regrun(*own, "experiment=soft_orthogonality", "regularizer=soft_orthogonality")
    assert untrusted.code == 2
    assert "REGRUN_TRUST=orthogonality_paper" in untrusted.err
    monkeypatch.setenv("REGRUN_TRUST", "orthogonality_paper")
    assert "soft_orthogonality" in regrun("list", *own, "orthog").out
    shown = regrun("show", *own, "soft_orthogonality")
    assert (
        "regrun --config-dir conf experiment=soft_orthogonality regularizer=soft_orthogonality" in shown.out
    )
    result = regrun(*own, "experiment=soft_orthogonality", "regularizer=soft_orthogonality", "logger=csv")
    assert result.code == 0, result.err
    record = Record(only_record(tmp_path))
    assert record.directory.parent.name == "orthogonal"
    assert record.manifest()["command"].startswith("regrun --config-dir conf experiment=soft_orthogonality")
    # Ours goes with theirs: their regularizer in our experiment.
    mixed = regrun(
        *own, "experiment=grokking", "scale=smoke", "regularizer=[stablemax,soft_orthogonality]", "logger=csv"
    )
    assert mixed.code == 0, mixed.err


def test_soft_orthogonality_pulls_rows_to_be_orthonormal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(OWN))
    from types import SimpleNamespace

    import torch
    from orthogonality_paper import SoftOrthogonality
    from torch import nn

    model = nn.Linear(5, 3)
    step = SimpleNamespace(task=SimpleNamespace(model=model))
    penalty = SoftOrthogonality(0.5).penalty(step)
    singular = torch.linalg.svdvals(model.weight)
    assert penalty.item() == pytest.approx(0.5 * (singular.square() - 1).square().sum().item(), rel=1e-5)
    penalty.backward()
    weight = model.weight.detach()
    torch.testing.assert_close(model.weight.grad, 2 * (weight @ weight.T - torch.eye(3)) @ weight)
    assert model.bias.grad is None
    nn.init.orthogonal_(model.weight)
    assert SoftOrthogonality(0.5).penalty(step).item() == pytest.approx(0, abs=1e-10)


def test_hydras_own_habits_work(regrun: Command, tmp_path: Path) -> None:
    config = regrun("experiment=grokking", "--cfg", "job")
    assert config.code == 0
    assert "modulus: 59" in config.out
    packaged = regrun("experiment=grokking", "--cfg", "job", "--package", "optimizer")
    assert "lr: 0.01" in packaged.out
    other = regrun(
        "experiment=grokking", "optimizer=sgd", "--cfg", "job", "--resolve", "-p", "procedure.optimizer"
    )
    assert "torch.optim.SGD" in other.out
    assert "betas" not in other.out
    assert "regrun list [words] | show NAME | doctor" in regrun("--help").out
    assert list(tmp_path.iterdir()) == []


def test_shell_completion_knows_the_groups(tmp_path: Path) -> None:
    environment = {**os.environ, "COMP_LINE": "regrun experiment=gro"}
    command = [sys.executable, "-m", "regrun.cli", "-sc", "query=bash"]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.split() == ["experiment=grokalign", "experiment=grokking"], result.stderr


def test_a_report_of_one_run(regrun: Command, tmp_path: Path) -> None:
    assert regrun("experiment=grokking", "scale=smoke", "logger=csv").code == 0
    record = only_record(tmp_path)
    shown = regrun("show", str(record.relative_to(tmp_path)))
    assert shown.code == 0
    assert "complete" in shown.out
    assert "test_accuracy" in shown.out
    assert Record(record).status is Status.COMPLETE
    (record / "metrics.csv").write_text("step,loss\n0,0.0\n")
    assert "changed since" in regrun("show", str(record.relative_to(tmp_path))).out


def test_doctor_finds_what_is_wrong(regrun: Command, tmp_path: Path) -> None:
    fit = regrun("doctor")
    assert fit.code == 0
    assert all(word in fit.out for word in ("torch", "threads", "W&B", "outputs", "processor"))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").touch()
    assert "MNIST" in regrun("doctor", "--data-dir", str(tmp_path)).out
    if Path("/proc/version").exists():
        broken = regrun("doctor", "--outputs", "/proc/outputs")
        assert broken.code == 1
        assert "cannot be written" in broken.out
