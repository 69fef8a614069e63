"""Labels in a text file: a number per line, or a table with a line of names."""

from __future__ import annotations

import csv
from pathlib import Path

from regrun.errors import nearest

# By the mark that a text begins with; Windows writes them.
ENCODINGS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
SEPARATORS = (",", ";", "\t")


def read_column(file: Path, key: str) -> list[int]:
    """The labels of a file, in order.

    Args:
        file: lines of one whole number each, what follows ``#`` left out; or a table whose first line names
            its columns.
        key: the column, if there are several.

    Raises:
        ValueError: for the first invalid line, with what was expected.
    """
    rows = rows_of(file)
    column = 0
    names = rows[0][1] if rows and not is_number(rows[0][1][0]) else None
    if names is not None:
        rows = rows[1:]
        if len(names) > 1:
            if key not in names:
                raise ValueError(f"{file} has no {key!r}{nearest(key, names)} (it has {', '.join(names)})")
            column = names.index(key)
    labels = []
    for line, row in rows:
        if len(row) != len(names or [key]):
            expected = f"{len(names)} values" if names else "one whole number"
            raise ValueError(
                f"{file}: line {line}: {expected} expected, not {len(row)}: {','.join(row)[:40]!r}"
            )
        label = number_of(row[column])
        if label is None:
            raise ValueError(f"{file}: line {line}: a whole number is expected, not {row[column][:40]!r}")
        labels.append(label)
    return labels


def rows_of(file: Path) -> list[tuple[int, list[str]]]:
    """The lines that hold something, with their numbers, cut into values.

    Raises:
        ValueError: if the file cannot be read as text.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"the label file {file} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
        if "\0" in text:
            raise ValueError("it has null characters")
    except ValueError as error:
        raise ValueError(f"the label file {file} cannot be read: it is not text in {encoding}") from error
    lines = [line.split("#", 1)[0].strip() for line in text.split("\n")]
    separator = next((mark for mark in SEPARATORS if any(mark in line for line in lines[:2])), ",")
    try:
        return [
            (k, [value.strip() for value in next(csv.reader([line], delimiter=separator))])
            for k, line in enumerate(lines, start=1)
            if line
        ]
    except csv.Error as error:
        raise ValueError(f"the label file {file} cannot be read: {error}") from error


def is_number(text: str) -> bool:
    """Whether a text is a number, and so not the name of a column."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def number_of(text: str) -> int | None:
    """A whole number, also one that is written ``3.0``; ``None`` for something else."""
    try:
        return int(text) if text.lstrip("+-").isdecimal() else whole(float(text))
    except (ValueError, OverflowError):
        return None


def whole(value: float) -> int | None:
    """The same as an integer; ``None`` if it is none."""
    return int(value) if value == int(value) else None
