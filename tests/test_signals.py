"""Real processes, really stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result, only_record, records
from regrun.record import Record, Status

Start = Callable[..., "subprocess.Popen[str]"]
Command = Callable[..., Result]

# Long enough to be met in the middle, small enough to end at once when it goes on.
RUN = (
    "experiment=grokking",
    "scale=smoke",
    "logger=csv",
    "steps=1500",
    "eval_every=50",
    "regularizer=stablemax",
    "checkpoint_seconds=0",
)


def wait_for_rows(folder: Path, count: int, process: subprocess.Popen[str]) -> Record:
    """Wait until the only run has measured so much."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (found := records(folder)) and len(Record(found[0]).history()) >= count:
            return Record(found[0])
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("the run did not get going")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of the run that nobody stops."""
    import sys

    folder = tmp_path_factory.mktemp("undisturbed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "regrun.cli", *RUN], cwd=folder, check=True, env=environment)
    return (only_record(folder) / "metrics.csv").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_run_says_how_to_go_on_and_does(
    start: Start, tmp_path: Path, undisturbed: str, number: signal.Signals
) -> None:
    process = start(*RUN)
    record = wait_for_rows(tmp_path, 3, process)
    assert record.status is Status.RUNNING
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip().startswith("regrun: interrupted; go on with: regrun experiment=grokking"), err
    assert len(err.strip().splitlines()) == 1
    assert record.status is Status.INTERRUPTED
    assert record.checkpoint.exists()

    again = start(*RUN)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert "resumes" in out
    assert record.status is Status.COMPLETE
    assert record.is_intact()
    assert record.metrics.read_text() == undisturbed


def test_a_killed_run_goes_on_from_its_last_saved_state(
    start: Start, tmp_path: Path, undisturbed: str
) -> None:
    for rows in (3, 8):
        process = start(*RUN)
        record = wait_for_rows(tmp_path, rows, process)
        process.kill()
        process.wait()
        assert record.status is Status.DIED
    last = start(*RUN)
    out, err = last.communicate(timeout=60)
    assert last.returncode == 0, err
    assert "resumes" in out
    assert record.status is Status.COMPLETE
    assert record.metrics.read_text() == undisturbed
    assert not list(record.directory.glob("*.partial"))


def test_a_sweep_survives_the_death_of_a_worker(start: Start, tmp_path: Path) -> None:
    words = [
        *SWEEP,
        "regularizer=stablemax",
        "seed=0,1,2",
        "hydra/launcher=packed",
        "hydra.launcher.n_jobs=2",
    ]
    process = start(*words)
    record = wait_for_rows(tmp_path, 3, process)
    worker = record.manifest()["pid"]
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert "the launcher broke off" in out
    assert "Traceback" not in err
    assert "3 runs: 3 complete" in out
    assert len(record.manifest()["resumed"]) == 1
    assert [Record(r).status for r in records(tmp_path)] == [Status.COMPLETE] * 3


SWEEP = ("-m", *RUN[:3], "steps=1000", "eval_every=50", "checkpoint_seconds=0")


@pytest.mark.parametrize(
    ("launcher", "whole_group"),
    [([], True), (["hydra/launcher=packed"], True), (["hydra/launcher=packed"], False)],
    ids=["one by one", "packed", "packed, only the parent"],
)
def test_an_interrupted_sweep_goes_on(
    start: Start, tmp_path: Path, launcher: list[str], whole_group: bool
) -> None:
    words = [*SWEEP, "regularizer=stablemax,perp_grad", "seed=0,1", *launcher]
    process = start(*words)
    wait_for_rows(tmp_path, 3, process)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "interrupted" in out
    assert "the same command again runs only what is missing" in out
    before = {record: Record(record).status for record in records(tmp_path)}
    assert Status.INTERRUPTED in before.values()
    assert Status.RUNNING not in before.values()

    again = start(*words)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, (out, err)
    assert len(records(tmp_path)) == 4
    for record in map(Record, records(tmp_path)):
        assert record.status is Status.COMPLETE
        assert len(record.history()) == 21
        assert bool(record.manifest()["resumed"]) == (before.get(record.directory) is Status.INTERRUPTED)
