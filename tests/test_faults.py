"""Reproductions that are really killed, crowded and starved."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result, records
from regrun.records.record import Record, Status
from tiny import write_tiny

Start = Callable[..., "subprocess.Popen[str]"]
KILLS = int(os.environ.get("REGRUN_KILLS", "4"))
RUNS = 12


def finished(folder: Path) -> dict[Path, str]:
    """Each complete record's result, as it was written."""
    return {
        r: Record(r).result_file.read_text() for r in records(folder) if Record(r).status is Status.COMPLETE
    }


def judged(folder: Path) -> dict[str, object]:
    """What a reproduction came to, less what it cost and where."""
    entry = json.loads((folder / "outputs" / "tiny" / "verdicts.json").read_text())
    finals = {name: arm["final"] for name, arm in entry["arms"].items()}
    return {"claims": entry["claims"], "measured": entry["measured"], "final": finals}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reproduction that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [sys.executable, "-m", "regrun.cli", "reproduce", *write_tiny(folder)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr  # one claim is not reproduced
    assert len(finished(folder)) == RUNS
    return folder


def children(pid: int) -> list[int]:
    """Every process below a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers through /proc")
def test_kills_at_random_moments_lose_nothing_and_repeat_nothing(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    words = ["reproduce", *write_tiny(tmp_path)]
    dice = random.Random(0)
    complete: dict[Path, str] = {}
    for kill in range(KILLS):
        process = start(*words)
        time.sleep(dice.uniform(0, 12))
        if process.poll() is None:
            workers = children(process.pid)
            victim = dice.choice(workers) if kill % 2 and workers else process.pid
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(victim, signal.SIGKILL)
            if victim != process.pid:  # the parent goes on; it too is killed, some time later
                time.sleep(dice.uniform(0, 6))
                process.kill()
        process.communicate(timeout=60)
        now = finished(tmp_path)
        assert complete.items() <= now.items()
        complete = now
        judgement = tmp_path / "outputs" / "tiny" / "verdicts.json"
        assert not judgement.exists() or len(now) == RUNS
    last = start(*words)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 1, (out, err)
    assert complete.items() <= finished(tmp_path).items()
    assert judged(tmp_path) == judged(undisturbed)
    assert len(records(tmp_path)) == RUNS
    assert not list(tmp_path.rglob("*.partial"))


def test_two_at_once_share_the_runs(start: Start, tmp_path: Path, undisturbed: Path) -> None:
    words = ["reproduce", *write_tiny(tmp_path)]
    both = [start(*words), start(*words)]
    for process in both:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 1, (out, err)
        assert "Traceback" not in err
    assert judged(tmp_path) == judged(undisturbed)
    assert len(records(tmp_path)) == RUNS
    for record in records(tmp_path):
        assert Record(record).manifest()["resumed"] == []


def test_a_worker_that_dies_is_replaced_within_the_command(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    process = start("reproduce", *write_tiny(tmp_path))
    deadline = time.monotonic() + 60
    while not (found := [r for r in records(tmp_path) if Record(r).history()]):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(Record(found[0]).manifest()["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, (out, err)
    assert "the launcher broke off" in out
    assert judged(tmp_path) == judged(undisturbed)


def test_an_edited_record_is_not_judged(
    regrun_afresh: Callable[..., Result], tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    (metrics,) = tmp_path.glob("outputs/tiny/plain/seed1-*/metrics.csv")
    metrics.write_text(metrics.read_text().replace("0.", "0.9", 1))
    result = regrun_afresh("reproduce", "tiny", "--config-dir", "conf")
    assert f"{metrics.parent.relative_to(tmp_path)} was changed after it was completed" in result.err
    entry = json.loads((tmp_path / "outputs" / "tiny" / "verdicts.json").read_text())
    assert [claim["verdict"] for claim in entry["claims"]] == ["not run"] * 4
    assert result.code == 3


def test_a_record_of_another_run_is_not_judged(
    regrun_afresh: Callable[..., Result], tmp_path: Path, undisturbed: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    (good,) = tmp_path.glob("outputs/tiny/plain/seed0-*")
    (other,) = tmp_path.glob("outputs/tiny/plain/seed1-*")
    shutil.rmtree(other)
    shutil.copytree(good, other)
    result = regrun_afresh("reproduce", "tiny", "--config-dir", "conf")
    assert "was changed after it was completed" in result.err
    assert result.code == 3


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_is_said_and_the_rest_goes_on_when_there_is_room(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    words = ["reproduce", *write_tiny(tmp_path)]
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(outputs)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        process = start(*words)
        out, err = process.communicate(timeout=120)
        assert process.returncode in (1, 2), (out, err)
        assert "No space left on device" in out + err
        assert "Traceback" not in err
        complete = finished(tmp_path)
        assert len(complete) < RUNS
        subprocess.run(["mount", "-o", "remount,size=64m", str(outputs)], check=True)
        again = start(*words)
        out, err = again.communicate(timeout=120)
        assert again.returncode == 1, (out, err)
        assert complete.items() <= finished(tmp_path).items()
        assert judged(tmp_path) == judged(undisturbed)
    finally:
        subprocess.run(["umount", str(outputs)], check=True)


@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")
def test_a_clock_that_jumps_changes_nothing(
    start: Start, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back by years while the runs are half done, then forward by as many."""
    words = ["reproduce", *write_tiny(tmp_path)]
    preload = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
    if not Path(preload).exists():
        pytest.skip("no library to fake the time with")
    for offset in ("-4000d", "+4000d"):
        process = start(*words, LD_PRELOAD=preload, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        time.sleep(8)
        process.kill()
        process.communicate()
    last = start(*words)
    out, err = last.communicate(timeout=120)
    assert last.returncode == 1, (out, err)
    assert judged(tmp_path) == judged(undisturbed)
    assert all(0 <= Record(r).result()["wall_seconds"] < 120 for r in records(tmp_path))
