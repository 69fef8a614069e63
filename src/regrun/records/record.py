"""A run's files on disk: atomic, fingerprinted, resumable."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import yaml
from filelock import FileLock, Timeout

from regrun.errors import UserError
from regrun.records.damage import (
    MANIFEST,
    RESULT,
    WHERE_GIVEN,
    DamagedError,
    check_archive,
    read_json,
    read_table,
)
from regrun.records.files import atomic_writer, write_atomically

SCHEMA = 1
LOCK = "lock"
FILES = (
    *("config.yaml", "run.json", "metrics.csv", "checkpoint.ckpt", "checkpoint.partial", "result.json"),
    *("traceback.txt", LOCK),
)
FOLDERS = ("wandb",)  # folders of the loggers
PARTIAL = re.compile(rf"\.({'|'.join(map(re.escape, FILES))})\.\d+-[0-9a-f]{{8}}")
TAIL = 2**16  # bytes, more than the longest row
LONGEST_STEP = 18  # digits


class Status(StrEnum):
    """State of a run."""

    ABSENT = "absent"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DIED = "died"
    COMPLETE = "complete"
    DAMAGED = "damaged"  # its files cannot be read


Row = tuple[int, dict[str, float]]
"""A step and its metrics."""


def is_status(value: Any) -> bool:
    """Whether a JSON value is a status that a run can write."""
    return isinstance(value, str) and value in {*Status} - {Status.ABSENT, Status.DAMAGED}


class RecordBusyError(UserError):
    """Another process is writing the record, or has written it meanwhile."""


class Record:
    """The directory of one run.

    ========================  ==================================================================
    ``config.yaml``           the resolved config
    ``run.json``              who, when, on what: status, command, versions, hardware, commit
    ``metrics.csv``           one row per evaluation; the first column is ``step``
    ``checkpoint.ckpt``       the last saved state
    ``result.json``           final metrics; written last and atomically: if it is there, the run
                              is complete
    ``traceback.txt``         of a bug that ended the last attempt
    ``lock``                  held by the process that is writing
    ========================  ==================================================================

    Steps only increase. Files that are rewritten are replaced atomically, so no reader sees half a file, even
    after a ``kill -9``. ``metrics.csv`` is appended to, and an incomplete last row is dropped on resuming.
    Rows are flushed to disk before the checkpoint that follows them, and a resumed run must find them
    unchanged.

    Args:
        directory: folder of the run; it need not exist yet.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkpoint = directory / "checkpoint.ckpt"
        self.metrics = directory / "metrics.csv"
        self.result_file = directory / "result.json"
        self.manifest_file = directory / "run.json"
        self.config_file = directory / "config.yaml"
        self.traceback_file = directory / "traceback.txt"
        self._lock = FileLock(directory / "lock")
        self._manifest: dict[str, Any] = {}
        self._wall_origin = 0.0  # clock readings that include earlier attempts
        self._cpu_origin = 0.0
        self._sharers = 1
        self._columns: list[str] = []
        self._last_step = -1
        self._rows = 0
        self._digest = hashlib.sha256()  # of all rows
        self._stream: IO[str] | None = None

    # --------------------------------------------------------------- reading

    @property
    def status(self) -> Status:
        """The run's state, from the files and the lock alone; never raises."""
        try:
            manifest = self.manifest()
            if self.result_file.exists():
                self.result()
                # another process may be starting it over
                return Status.COMPLETE if manifest else self._locked_or(Status.DAMAGED)
            if not manifest:
                return Status.ABSENT
            status = Status(manifest["status"])
            # A run killed between its last manifest and its result says it is complete, but is not.
            return self._locked_or(Status.DIED) if status in (Status.RUNNING, Status.COMPLETE) else status
        except (DamagedError, OSError):
            return Status.DAMAGED

    def is_absent(self) -> bool:
        """Whether the folder holds no file of a run."""
        files = (self.manifest_file, self.result_file, self.metrics, self.checkpoint)
        return not any(file.exists() for file in files)

    def _locked_or(self, otherwise: Status) -> Status:
        return Status.RUNNING if self.is_locked() else otherwise

    def is_locked(self) -> bool:
        """Whether a living process is writing this record.

        Raises:
            DamagedError: if the lock is not a file.
        """
        lock = self.directory / "lock"
        if not lock.exists():
            return False
        probe = FileLock(lock, is_singleton=False)
        try:
            probe.acquire(timeout=0)
        except Timeout:
            return True
        except OSError as error:
            if lock.is_file():
                raise
            raise DamagedError(lock, "it is no file") from error
        probe.release()
        return False

    def check(self) -> None:
        """Check every file, unless another process is writing them.

        Raises:
            DamagedError: for the first damaged file.
        """
        try:
            self._look()
        except DamagedError:
            if not self.is_locked():
                raise

    def _look(self) -> None:
        self.is_locked()
        manifest = self.manifest()
        if self.result_file.exists():
            self.result()
        if not manifest and not self.is_absent():
            raise DamagedError(self.manifest_file, "it is missing")
        if manifest and not self.config_file.is_file():
            raise DamagedError(self.config_file, "it is missing")
        self.history()
        check_archive(self.checkpoint)

    def check_whole(self) -> None:
        """Check every file, and the seal of a complete record.

        Raises:
            DamagedError: for the first damaged file, or a broken seal.
        """
        self.check()
        if self.status is Status.COMPLETE and not self.is_intact():
            raise DamagedError(self.directory, "it was changed after it was completed")

    def is_damaged(self) -> bool:
        """Whether ``check_whole`` raises."""
        try:
            self.check_whole()
        except DamagedError:
            return True
        return False

    def result(self) -> dict[str, Any]:
        """The content of ``result.json``.

        Raises:
            DamagedError: if it is damaged.
        """
        return read_json(self.result_file, RESULT, {})

    def final_metrics(self) -> dict[str, float]:
        """The final metrics of a complete run; values that were not finite, null in JSON, are nan.

        Raises:
            DamagedError: if ``result.json`` is damaged.
        """
        metrics = self.result()["metrics"]
        return {name: math.nan if value is None else value for name, value in metrics.items()}

    def manifest(self) -> dict[str, Any]:
        """The content of ``run.json``, empty if there is none.

        Raises:
            DamagedError: if it is damaged.
        """
        if not self.manifest_file.exists():
            return {}
        return read_json(self.manifest_file, {**MANIFEST, "status": is_status}, WHERE_GIVEN)

    def seen(self) -> bytes:
        """The raw bytes of ``run.json``; empty if there is none."""
        try:
            return self.manifest_file.read_bytes()
        except OSError:
            return b""

    def history(self) -> list[Row]:
        """``(step, metrics)`` of every complete row of ``metrics.csv``.

        Raises:
            DamagedError: if it is damaged.
        """
        names, rows = read_table(self.metrics)
        return [
            (step, {name: v for name, v in zip(names, values, strict=True) if v is not None})
            for step, values in rows
        ]

    def curves(self) -> dict[str, tuple[list[int], list[float]]]:
        """``(steps, values)`` of each metric, at the steps where it has a value.

        Raises:
            DamagedError: if ``metrics.csv`` is damaged.
        """
        names, rows = read_table(self.metrics)
        curves = {}
        for k, name in enumerate(names):
            kept = [(step, v) for step, values in rows if (v := values[k]) is not None]
            curves[name] = ([step for step, _ in kept], [v for _, v in kept])
        return curves

    def last_step(self) -> int:
        """The step of the last complete row of ``metrics.csv``, read from its end; -1 if there is none."""
        try:
            with self.metrics.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - TAIL))
                rows = stream.read().rpartition(b"\n")[0].splitlines()
        except OSError:
            return -1
        step = rows[-1].partition(b",")[0] if rows else b""
        return int(step) if step.isdigit() and len(step) <= LONGEST_STEP else -1

    def is_intact(self) -> bool:
        """Whether a complete record's config, metrics and result are unchanged.

        Raises:
            DamagedError: if the result is damaged.
        """
        result = self.result()
        seal = result.pop("seal", None)
        return seal == self._seal(result)

    # --------------------------------------------------------------- writing

    def begin(
        self,
        manifest: Mapping[str, Any],
        config: Mapping[str, Any],
        resume_step: int | None = None,
        as_seen: bytes | None = None,
        sharers: int = 1,
        recorded: Mapping[str, Any] | None = None,
    ) -> None:
        """Lock the record for writing.

        Args:
            manifest: content of ``run.json``.
            config: the resolved config.
            resume_step: the step of the checkpoint to resume from; later rows are dropped. ``None`` drops
                everything.
            as_seen: the result of ``seen`` when the checkpoint was read, to detect other writers.
            sharers: number of runs this process computes together; each is charged its share of the time.
            recorded: the result of ``recorded`` when the checkpoint was saved.

        Raises:
            RecordBusyError: if another process is writing it, or ``seen`` differs from ``as_seen``.
            DamagedError: if the run resumes, and rows from before the checkpoint are missing.
            UserError: if the folder cannot be created.
        """
        self.check_ours()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise UserError(f"{self.directory} is a file, where a run's folder is to be") from error
        try:
            self._lock.acquire(timeout=0.5, poll_interval=0.05)  # others only test briefly whether it is held
        except Timeout:
            earlier = self.manifest()
            raise RecordBusyError(
                f"{self.directory} is being written by process {earlier.get('pid', '?')} "
                f"on {earlier.get('environment', {}).get('host', '?')}; wait for it, or stop it"
            ) from None
        except IsADirectoryError as error:
            raise DamagedError(self.directory / "lock", "it is no file") from error
        if as_seen is not None and self.seen() != as_seen:
            self._lock.release()
            raise RecordBusyError(f"another process has written {self.directory} meanwhile; look again")
        fresh = not self.manifest_file.exists()
        try:
            if resume_step is not None and recorded:
                self._check_recorded(recorded)
            self._take(manifest, config, resume_step, sharers)
        except UserError:
            self._lock.release()
            raise
        except OSError:
            self._lock.release()
            if fresh:
                self._remove()
            raise

    def _take(
        self, manifest: Mapping[str, Any], config: Mapping[str, Any], resume_step: int | None, sharers: int
    ) -> None:
        if resume_step is None:
            self._clear()
        earlier = self.manifest()
        kept = [] if resume_step is None else [row for row in self.history() if row[0] <= resume_step]
        self._sharers = sharers
        self._wall_origin = time.monotonic() - sharers * earlier.get("wall_seconds", 0.0)
        self._cpu_origin = time.process_time() - sharers * earlier.get("cpu_seconds", 0.0)
        self.traceback_file.unlink(missing_ok=True)
        self._manifest = {
            "schema": SCHEMA,
            **manifest,
            "status": Status.RUNNING.value,
            "started": earlier.get("started", _now()),
            "resumed": [*earlier.get("resumed", []), _now()] if earlier else [],
            "pid": os.getpid(),
            "wall_seconds": earlier.get("wall_seconds", 0.0),
            "cpu_seconds": earlier.get("cpu_seconds", 0.0),
        }
        self._write_manifest()
        write_atomically(self.config_file, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        self._columns = list(dict.fromkeys(name for _, row in kept for name in row))
        self._last_step, self._rows, self._digest = -1, 0, hashlib.sha256()
        for row in kept:
            self._count(row)
        if kept:
            self._rewrite(kept)

    def _check_recorded(self, recorded: Mapping[str, Any]) -> None:
        """Raise ``DamagedError`` unless the record begins with the rows it had at the checkpoint."""
        rows = self.history()[: recorded["rows"]]
        counted = f"{recorded['rows']} rows, up to step {recorded['last_step']}"
        if not self.metrics.exists() and recorded["rows"]:
            raise DamagedError(self.metrics, f"it is missing, and had {counted}, when the state was saved")
        if len(rows) < recorded["rows"]:
            raise DamagedError(
                self.metrics, f"it has {len(rows)} whole rows, and had {counted}, when the state was saved"
            )
        if hashlib.sha256(b"".join(map(text_of, rows))).hexdigest() != recorded["digest"]:
            raise DamagedError(self.metrics, "its rows are not those that it had when the state was saved")

    def recorded(self) -> dict[str, Any]:
        """A summary of the rows so far, by which a later attempt checks that they are still there.

        The rows are flushed to disk first, so a checkpoint saved next can rely on them.
        """
        if self._stream is not None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        return {"rows": self._rows, "last_step": self._last_step, "digest": self._digest.hexdigest()}

    def amend(self, **changes: Any) -> None:
        """Change keys of ``run.json``, from its next write on."""
        self._manifest |= changes

    def _count(self, row: Row) -> None:
        self._last_step = row[0]
        self._rows += 1
        self._digest.update(text_of(row))

    def log(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Append a row; returns whether it was new (an existing step is ignored)."""
        if step <= self._last_step:
            return False
        metrics = {name: float(value) for name, value in metrics.items()}  # numpy's floats have another repr
        self._count((step, metrics))
        if new := [name for name in metrics if name not in self._columns]:
            self._close_stream()
            self._columns += new
            self._rewrite([*self.history(), (step, dict(metrics))])
            return True
        if self._stream is None:
            self._stream = self.metrics.open("a", newline="", encoding="utf-8")
        _write_row(csv.writer(self._stream, lineterminator="\n"), self._columns, step, metrics)
        self._stream.flush()
        return True

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Complete the run. The result is written last."""
        self._close_stream()
        self._set_status(Status.COMPLETE)
        metrics = {name: float(value) for name, value in metrics.items()}
        result = {
            "schema": SCHEMA,
            **{k: self._manifest.get(k) for k in ("identity", "experiment", "arm", "seed", "scale")},
            **{k: self._manifest[k] for k in ("wall_seconds", "cpu_seconds")},
            "metrics": {name: value if math.isfinite(value) else None for name, value in metrics.items()},
            "last_step": self._last_step,
            "finished": _now(),
        }
        result["seal"] = self._seal(result)
        write_atomically(self.result_file, json.dumps(result, indent=1, allow_nan=False) + "\n")
        self._lock.release()

    def stop(self, status: Status, message: str = "") -> None:
        """Leave the run unfinished, with the reason; it can be resumed."""
        self._close_stream()
        try:
            self._set_status(status, message)
        finally:
            self._lock.release()

    # --------------------------------------------------------------- helpers

    def _set_status(self, status: Status, message: str = "") -> None:
        self._manifest["status"] = status.value
        self._manifest["wall_seconds"] = round((time.monotonic() - self._wall_origin) / self._sharers, 3)
        self._manifest["cpu_seconds"] = round((time.process_time() - self._cpu_origin) / self._sharers, 3)
        if message:
            self._manifest["message"] = message
        self._write_manifest()

    def _write_manifest(self) -> None:
        write_atomically(self.manifest_file, json.dumps(self._manifest, indent=1) + "\n")

    def _rewrite(self, rows: Iterable[Row]) -> None:
        with atomic_writer(self.metrics) as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["step", *self._columns])
            for step, row in rows:
                _write_row(writer, self._columns, step, row)

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _remove(self) -> None:
        """Remove the files of a run that could not begin, and the folder if it is then empty."""
        for entry in [self.directory / name for name in FILES]:
            with suppress(OSError):
                entry.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()

    def check_ours(self) -> None:
        """Check that the folder holds only files that regrun writes.

        Raises:
            UserError: for the first other file; nothing is written or deleted.
        """
        try:
            names = [entry.name for entry in self.directory.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return
        begun = self.manifest_file.name in names or {self.result_file.name, LOCK} <= {*names}
        # A run killed at its start leaves a lock, and perhaps a half-written file.
        known = (*FILES, *FOLDERS) if begun else (LOCK,)
        foreign = sorted(name for name in names if name not in known and not PARTIAL.fullmatch(name))
        if foreign:
            others = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise UserError(
                f"{self.directory} holds what is not of a run's record: {', '.join(foreign[:3])}{others}; "
                "regrun writes nothing there: move it away, or choose another folder with outputs="
            )

    def _clear(self) -> None:
        self.check_ours()
        for entry in self.directory.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _seal(self, result: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(result, sort_keys=True).encode())
        for file in (self.config_file, self.metrics):
            with suppress(OSError):  # missing, or not a file
                digest.update(file.read_bytes())
        return digest.hexdigest()


def text_of(row: Row) -> bytes:
    """A row in the form that is hashed, independent of the order of columns."""
    step, metrics = row
    return repr((step, sorted(metrics.items()))).encode()


def _write_row(writer: Any, columns: list[str], step: int, metrics: Mapping[str, float]) -> None:
    # repr keeps every digit, so reading restores the exact value.
    writer.writerow([step, *(repr(metrics[name]) if name in metrics else "" for name in columns)])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
