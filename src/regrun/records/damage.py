"""Checks of a record's files: disks fail, and people edit."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regrun.errors import UserError

Check = Callable[[Any], bool]


class DamagedError(UserError):
    """A file of a record is damaged.

    Args:
        file: the file.
        what: what is wrong with it.
    """

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(
            f"damaged: {file}: {what}; remove its folder, or add force=true to the command that runs it"
        )


def is_text(value: Any) -> bool:
    """Whether a JSON value is a string."""
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    """Whether a value is an integer."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_seconds(value: Any) -> bool:
    """Whether a value is a finite number, at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def is_metrics(value: Any) -> bool:
    """Whether a value maps names to numbers, or to null where they were not finite."""
    return isinstance(value, dict) and all(
        number is None or (isinstance(number, int | float) and not isinstance(number, bool))
        for number in value.values()
    )


def is_texts(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(map(is_text, value))


def is_environment(value: Any) -> bool:
    """Whether a value describes a run's environment."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("versions"), dict)
        and "commit" in value
        and isinstance(value["commit"], str | None)
    )


def is_code(value: Any) -> bool:
    """Whether a value is a list of parts as ``regrun.runs.provenance`` records them."""
    return isinstance(value, list) and all(
        isinstance(part, dict)
        and isinstance(part.get("commit"), str | None)
        and is_whole(part.get("after_step"))
        and isinstance(part.get("code"), dict)
        and isinstance(part.get("definitions", {}), dict)
        and isinstance(part.get("versions"), dict)
        for part in value
    )


SHARED: Mapping[str, Check] = {
    "identity": is_text,
    "experiment": is_text,
    "arm": is_text,
    "seed": is_whole,
    "scale": is_text,
    "wall_seconds": is_seconds,
    "cpu_seconds": is_seconds,
}
RESULT: Mapping[str, Check] = {**SHARED, "metrics": is_metrics, "last_step": is_whole, "seal": is_text}
MANIFEST: Mapping[str, Check] = {
    **SHARED,
    "status": is_text,
    "started": is_text,
    "resumed": is_texts,
    "pid": is_whole,
    "command": is_text,
    "steps": is_whole,
    "device": is_text,
    "precision": is_text,
    "environment": is_environment,
}
WHERE_GIVEN: Mapping[str, Check] = {  # optional in ``run.json``: older versions did not write them
    "message": is_text,
    "notes": is_texts,
    "data_fingerprint": is_text,
    "data_dir": is_text,
    "computed_by": is_code,
}


def read_json(file: Path, needed: Mapping[str, Check], others: Mapping[str, Check]) -> dict[str, Any]:
    """The checked content of an existing JSON file.

    Args:
        file: a JSON file.
        needed: checks of required keys.
        others: checks of optional keys.

    Raises:
        DamagedError: if it is not JSON, a key is missing, or a value has the wrong type.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedError(file, f"it cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(file, "it is not JSON, or was cut off") from error
    if not isinstance(content, dict):
        raise DamagedError(file, f"it should hold keys and values, and is {json.dumps(content)[:40]}")
    for key, fits in {**needed, **others}.items():
        if key not in content:
            if key in needed:
                raise DamagedError(file, f"{key!r} is missing")
        elif not fits(content[key]):
            raise DamagedError(file, f"{key!r} cannot be {json.dumps(content[key])[:40]}")
    return content


Rows = list[tuple[int, list[float | None]]]


def read_table(file: Path) -> tuple[list[str], Rows]:
    """The columns of ``metrics.csv`` without the first, and ``(step, values)`` of every complete row.

    An incomplete last row is ignored: a run may be killed as it writes. Empty if there is no file.

    Raises:
        DamagedError: if it is not such a table, with the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise DamagedError(file, f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DamagedError(file, "it is not text") from error
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)
    rows: Rows = []
    try:
        first, *names = next(lines, ["step"])
        if first != "step":
            raise ValueError(f"'step' and the names of metrics are expected, not {first[:40]!r}")
        if len({*names}) < len(names):
            raise ValueError("a metric has two columns")
        for row in lines:
            if len(row) != len(names) + 1:
                raise ValueError(f"{len(names) + 1} values are expected, not {len(row)}")
            step = int(row[0])
            if step <= (last := rows[-1][0] if rows else -1):
                raise ValueError(f"step {step} comes after step {last}")
            rows.append((step, [float(value) if value else None for value in row[1:]]))
    except (ValueError, csv.Error) as error:
        raise DamagedError(file, f"line {lines.line_num}: {error}") from error
    return names, rows


def check_archive(file: Path) -> None:
    """Raise ``DamagedError`` if a checkpoint is empty or truncated; only torch's format is checked."""
    try:
        with file.open("rb") as stream:
            start = stream.read(2)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DamagedError(file, f"it cannot be read: {error.strerror}") from error
    if not start or (start == b"PK" and not zipfile.is_zipfile(file)):  # torch saves zip archives
        raise DamagedError(file, "it was cut off")
