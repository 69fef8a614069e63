from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from regrun.config.whitelist import read_trust
from regrun.records.record import Record
from regrun.runs.environment import available_cores

torch.set_num_threads(1)
if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, by what the tests start, too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
CHECKOUT = Path(__file__).parents[1]
COSTLY = {"reproduced", "undisturbed"}  # fixtures that each worker would set up for itself
SMALL = ("scale=smoke", "logger=csv")  # of any experiment
SMOKE = ("experiment=grokking", *SMALL)
needs_data = pytest.mark.skipif(
    "REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where the real data lie"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many commands the fuzz test types."""
    parser.addoption("--cases", type=int, default=300, help="commands of tests/test_fuzz.py")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: the tests of clusters mostly wait."""
    return available_cores() + 1


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a cluster or a reproduction run one after another, and begin first."""
    for item in items:
        for fixture in COSTLY.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(fixture))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@dataclass
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the machine's W&B account, trusts a package, or fights for cores; all draw the same."""
    torch.manual_seed(0)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "REGRUN_TRUST"):
        monkeypatch.delenv(name, raising=False)
    read_trust()
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
        from regrun.runs.run import STOP

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
        ours = {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"}  # W&B's process for this one
        return subprocess.Popen(
            [sys.executable, "-m", "regrun.cli", *words],
            cwd=tmp_path,
            env={**ours, **environment},
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


def wait_for_step(
    folder: Path, step: int, process: subprocess.Popen[str], other_than: Sequence[Record] = ()
) -> Record:
    """The record of a run that has come so far, of those below a folder that a process works at."""
    known = {record.directory for record in other_than}
    end = time.monotonic() + 180
    while time.monotonic() < end and process.poll() is None:
        for found in map(Record, records(folder)):
            if found.directory in known:
                continue
            if found.last_step() >= step and found.checkpoint.exists():
                return found
        time.sleep(0.1)
    raise AssertionError(f"no run came to step {step}: {process.communicate(timeout=5)}")
