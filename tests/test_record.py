from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from regrun.errors import UserError
from regrun.records.files import atomic_writer, write_atomically
from regrun.records.record import Record, Status

MANIFEST = {
    "identity": "abc",
    "experiment": "e",
    "arm": "a",
    "seed": 0,
    "scale": "smoke",
    "command": "regrun experiment=e",
    "steps": 3,
    "device": "cpu",
    "precision": "32-true",
    "environment": {"commit": None, "versions": {}},
}
CONFIG = {"steps": 3}

# Writes complete records one after another, as fast as it can, until it is killed.
WRITER = f"""
import sys
from pathlib import Path
from regrun.records.record import Record
folder = Path(sys.argv[1])
print("ready", flush=True)
for k in range(10**9):
    record = Record(folder / str(k))
    record.begin({MANIFEST!r} | {{"padding": "x" * 20_000}}, {{"steps": 3, "padding": "y" * 20_000}})
    for step in range(4):
        record.log(step, {{"loss": 1 / (step + 1), "accuracy": step / 3}})
    record.finish({{"loss": 0.25}})
"""


def check_after_kill(folder: Path) -> tuple[int, int]:
    """What a killed writer left: every file whole, every result complete. Returns counts."""
    complete = partial = 0
    for directory in folder.iterdir():
        record = Record(directory)
        if record.status is Status.COMPLETE:
            complete += 1
            assert record.is_intact()
            assert [step for step, _ in record.history()] == [0, 1, 2, 3]
            assert record.manifest()["status"] == "complete"
        else:
            partial += 1
            # run.json is there or not, never in part; a row is there or not.
            assert record.status in (Status.ABSENT, Status.DIED)
            assert [step for step, _ in record.history()] == list(range(len(record.history())))
            if record.config_file.exists():
                assert record.config_file.read_text().endswith("\n")
    return complete, partial


def test_a_hundred_kills_leave_no_half_record(tmp_path: Path) -> None:
    generator = random.Random(0)
    total_complete = total_partial = 0
    for k in range(100):
        folder = tmp_path / f"kill{k}"
        folder.mkdir()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(generator.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        complete, partial = check_after_kill(folder)
        total_complete += complete
        total_partial += partial
        assert partial <= 1
    # The kills did hit in the middle of records, and not only there.
    assert total_partial >= 50
    assert total_complete >= 50


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")

    def fail_half_way() -> None:
        with atomic_writer(target) as stream:
            stream.write("new, in part")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def begun(folder: Path, resume_step: int | None = None) -> Record:
    record = Record(folder)
    record.begin(MANIFEST, CONFIG, resume_step)
    return record


def test_figures_are_read_back_to_the_last_digit(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    values = [0.1 + 0.2, 1e-300, 123456789.123456789, float("inf"), float("nan")]
    for step, value in enumerate(values):
        assert record.log(step, {"x": value})
    record.finish({"x": values[0]})
    assert [repr(row["x"]) for _, row in Record(tmp_path / "r").history()] == [repr(v) for v in values]
    assert record.result()["metrics"] == {"x": 0.1 + 0.2}


def test_final_metrics_that_are_not_finite_are_nan(tmp_path: Path) -> None:
    record = Record(tmp_path / "r")
    record.begin(MANIFEST, CONFIG)
    record.finish({"loss": 0.5, "ratio": math.nan, "steps": math.inf})
    found = Record(tmp_path / "r").final_metrics()
    assert found.pop("loss") == 0.5
    assert found.keys() == {"ratio", "steps"}
    assert all(math.isnan(value) for value in found.values())


def test_a_step_already_there_is_ignored_and_new_columns_are_added(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    assert record.log(0, {"a": 1.0})
    assert not record.log(0, {"a": 2.0})
    assert record.log(5, {"a": 3.0, "b": 4.0})
    assert record.log(10, {"b": 5.0})
    assert record.history() == [(0, {"a": 1.0}), (5, {"a": 3.0, "b": 4.0}), (10, {"b": 5.0})]


def test_resuming_forgets_what_came_after_the_checkpoint_and_a_torn_row(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    for step in (0, 10, 20, 30):
        record.log(step, {"a": step / 7})
    record.stop(Status.INTERRUPTED, "interrupted")
    with record.metrics.open("a") as stream:
        stream.write("40,5.")
    assert record.status is Status.INTERRUPTED
    record = begun(tmp_path / "r", resume_step=10)
    assert [step for step, _ in record.history()] == [0, 10]
    assert record.log(20, {"a": 1.0})
    record.finish({"a": 1.0})
    assert record.is_intact()
    assert len(record.manifest()["resumed"]) == 1


def test_starting_over_leaves_nothing_of_before(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    record.log(0, {"a": 1.0})
    record.checkpoint.write_text("state")
    (record.directory / "wandb").mkdir()
    record.finish({"a": 1.0})
    record = begun(tmp_path / "r")
    assert record.status is Status.RUNNING
    assert sorted(p.name for p in record.directory.iterdir()) == ["config.yaml", "lock", "run.json"]


def test_an_edited_record_is_told(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    record.log(0, {"a": 1.0})
    record.finish({"a": 1.0})
    assert record.is_intact()
    pristine = {file: file.read_text() for file in (record.metrics, record.config_file, record.result_file)}
    for file, text in pristine.items():
        edited = text.replace("1.0", "1.5") if "1.0" in text else text.replace("3", "4")
        assert edited != text
        file.write_text(edited)
        assert not record.is_intact()
        file.write_text(text)
    assert record.is_intact()


def test_metrics_that_are_not_finite_are_valid_json(tmp_path: Path) -> None:
    record = begun(tmp_path / "r")
    record.finish({"a": float("nan"), "b": float("inf"), "c": 1.0})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    result = json.loads(record.result_file.read_text(), parse_constant=refuse)
    assert result["metrics"] == {"a": None, "b": None, "c": 1.0}
    assert record.is_intact()


def test_two_processes_cannot_write_one_record(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import time
                from pathlib import Path
                from regrun.records.record import Record
                record = Record(Path({str(tmp_path / "r")!r}))
                record.begin({MANIFEST!r}, {CONFIG!r})
                print("held", flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert Record(tmp_path / "r").status is Status.RUNNING
        with pytest.raises(UserError, match=rf"being written by process {holder.pid}"):
            begun(tmp_path / "r")
    finally:
        holder.kill()
        holder.wait()
    assert Record(tmp_path / "r").status is Status.DIED
    begun(tmp_path / "r").finish({})
    assert Record(tmp_path / "r").status is Status.COMPLETE


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        record = begun(disk / "r")
        record.log(0, {"a": 1.0})
        with pytest.raises(OSError, match="No space left"):
            write_atomically(record.directory / "large", "x" * 100_000)
        assert not (record.directory / "large").exists()
        assert Record(disk / "r").history() == [(0, {"a": 1.0})]
        record.finish({"a": 1.0})
        assert record.is_intact()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
