"""Real processes, really stopped."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import Result, only_record, records
from regrun.records.record import PARTIAL, Record, Status

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


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "SIGHUP"]
)
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
    ("launcher", "whole_group", "number"),
    [
        ([], True, signal.SIGINT),
        (["hydra/launcher=packed"], True, signal.SIGINT),
        (["hydra/launcher=packed"], False, signal.SIGINT),
        (["hydra/launcher=packed"], True, signal.SIGHUP),
    ],
    ids=["one by one", "packed", "packed, only the parent", "packed, SIGHUP"],
)
def test_an_interrupted_sweep_goes_on(
    start: Start, tmp_path: Path, launcher: list[str], whole_group: bool, number: signal.Signals
) -> None:
    words = [*SWEEP, "regularizer=stablemax,perp_grad", "seed=0,1", *launcher]
    process = start(*words)
    wait_for_rows(tmp_path, 3, process)
    (os.killpg if whole_group else os.kill)(process.pid, number)
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


def in_terminal(folder: Path, words: Sequence[str]) -> tuple[subprocess.Popen[bytes], int]:
    """The command in a terminal of its own; returns the process and the terminal's other end."""
    ours, its = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "regrun", *words],
        cwd=folder,
        env={**os.environ, "TERM": "xterm"},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # its own: what hangs up with it
    )
    os.close(its)
    return process, ours


@pytest.mark.parametrize("words", [RUN, (*SWEEP, "seed=0,1", "hydra/launcher=packed")], ids=["run", "sweep"])
def test_a_closed_terminal_leaves_runs_that_go_on(
    tmp_path: Path, words: Sequence[str], undisturbed: str
) -> None:
    process, terminal = in_terminal(tmp_path, words)
    enough = threading.Event()
    reading = threading.Thread(target=drain, args=(terminal, enough))
    reading.start()
    try:
        record = wait_for_rows(tmp_path, 3, process)
    finally:
        enough.set()
        reading.join()
        os.close(terminal)
    assert process.wait(timeout=60) == 130
    assert record.status is Status.INTERRUPTED
    assert record.checkpoint.exists()
    if words is RUN:
        again = subprocess.run(
            [sys.executable, "-m", "regrun", *RUN], cwd=tmp_path, capture_output=True, check=True
        )
        assert b"resumes" in again.stdout
        assert record.metrics.read_text() == undisturbed


def drain(terminal: int, enough: threading.Event) -> None:
    """Read what is said, and leave the terminal to be closed."""
    while not enough.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            with suppress(OSError):
                os.read(terminal, 65536)


def test_nohup_is_heeded(start: Start, tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-m", "regrun", *RUN]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    record = wait_for_rows(tmp_path, 3, process)
    os.killpg(process.pid, signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert record.status is Status.COMPLETE


# A step during which no request is looked at, as of a large model: it takes a minute.
SLOW = """\
import time


class Slow:
    metrics = ("seen",)

    def __call__(self, context):
        from regrun.contracts.procedure import Description

        context.begin(Description(steps=2))
        for step in range(3):
            context.log(step, {"seen": float(step)})
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.01)
        return {"seen": 3.0}
"""


@pytest.mark.parametrize(
    "words",
    [("slow=1",), ("-m", "seed=0,1"), ("-m", "seed=0,1", "hydra/launcher=packed", "hydra.launcher.n_jobs=2")],
    ids=["run", "one by one", "packed"],
)
def test_a_second_interrupt_ends_it_at_once(start: Start, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "slow_steps.py").write_text(SLOW)
    (tmp_path / "conf" / "procedure").mkdir(parents=True)
    (tmp_path / "conf" / "procedure" / "slow.yaml").write_text("# Slow.\n_target_: slow_steps.Slow\n")
    asked = [word for word in words if word != "slow=1"]
    process = start(
        *(w for w in asked if w == "-m"),
        "--config-dir=conf",
        "procedure=slow",
        "logger=csv",
        *(w for w in asked if w != "-m"),
        REGRUN_TRUST="slow_steps",
    )
    record = wait_for_rows(tmp_path, 3, process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    out, err = process.communicate(timeout=50)
    assert time.monotonic() - began < 15
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in out + err
    assert record.status in (Status.INTERRUPTED, Status.DIED)
    assert [step for step, _ in record.history()] == [0, 1, 2]
    left = {file.name for file in record.directory.iterdir()}
    if "hydra/launcher=packed" in words:  # a worker that is killed while it replaces a file leaves its draft
        left = {name for name in left if not PARTIAL.fullmatch(name)}
    assert left == {"config.yaml", "run.json", "metrics.csv", "lock"}
