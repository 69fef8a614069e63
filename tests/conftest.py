from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
CHECKOUT = Path(__file__).parents[1]
SMOKE = ("experiment=grokking", "scale=smoke", "logger=csv")


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the machine's W&B account, trusts a package, or fights for cores."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "REGRUN_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def regrun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """The command, in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        from regrun.cli import main
        from regrun.run import STOP

        STOP.asked = False
        monkeypatch.setattr(sys, "argv", ["regrun", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_info:
            main()
        out, err = capfd.readouterr()
        return Result(int(exit_info.value.code or 0), out, err)

    return run


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command as a process of its own, in an empty folder, leader of its own group."""

    def run(*words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "regrun.cli", *words],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return run


@pytest.fixture
def regrun_afresh(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Result]:
    """The command in a new process, for what outlives it in this one: joblib keeps its workers."""

    def run(*words: str) -> Result:
        process = start(*words)
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)

    return run


def records(folder: Path) -> list[Path]:
    """Every record below a folder."""
    return sorted(file.parent for file in folder.glob("outputs/*/*/*/run.json"))


def only_record(folder: Path) -> Path:
    """The one record below a folder."""
    (record,) = records(folder)
    return record
