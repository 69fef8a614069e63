"""Entries on disk: the last local reproduction of each experiment, and the committed one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING

from regrun.errors import UserError
from regrun.records.files import write_atomically

if TYPE_CHECKING:
    from regrun.reproduction.entry import Entry


def entry_name(experiment: str, scale: str, variant: str = "") -> str:
    """A file stem: experiment, scale unless it is small, and overrides."""
    return "-".join(word for word in (experiment, "" if scale == "small" else scale, variant) if word)


def ledger_folder(outputs: Path) -> Path:
    """Folder of the committed entries."""
    return outputs / "ledger"


def ledger_file(outputs: Path, experiment: str, scale: str) -> Path:
    """File of an experiment's committed entry."""
    return ledger_folder(outputs) / f"{entry_name(experiment, scale)}.json"


def last_file(outputs: Path, experiment: str, scale: str, variant: str = "") -> Path:
    """File of the last reproduction on this machine."""
    return outputs / experiment / f"{entry_name('verdicts', scale, variant)}.json"


def read_entry(file: Path) -> Entry:
    """Read an entry.

    Raises:
        UserError: if it is not a valid entry, or was edited by hand.
    """
    from pydantic import ValidationError

    from regrun.reproduction.compact import read_text
    from regrun.reproduction.entry import Entry

    try:
        entry = Entry.model_validate(read_text(file.read_text(encoding="utf-8")))
    except JSONDecodeError as error:
        raise UserError(f"{file} is no ledger entry: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{file} is no ledger entry: {where}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error
    return entry


def write_entry(entry: Entry, file: Path) -> None:
    """Write an entry atomically."""
    from regrun.reproduction.compact import entry_text

    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, entry_text(json.loads(entry.sealed().model_dump_json())))


def entries(outputs: Path, complain: Callable[[str], None]) -> Iterator[tuple[Path, Entry]]:
    """The newest entry of every experiment and scale: the local one, else the committed one.

    Args:
        outputs: folder of the records.
        complain: called with a message for each damaged entry, which is left out.
    """
    found = {file.name: file for file in sorted((outputs / "ledger").glob("*.json"))}
    for file in sorted(outputs.glob("*/verdicts*.json")):
        found[file.name.replace("verdicts", file.parent.name, 1)] = file
    for name in sorted(found):
        try:
            entry = read_entry(found[name])
        except UserError as error:
            complain(str(error))
            continue
        yield found[name], entry


def seconds_per_arm(outputs: Path, experiment: str, scale: str) -> dict[str, float]:
    """Seconds per run of each arm in the last reproduction, here or in the ledger; empty if unknown."""
    for file in (last_file(outputs, experiment, scale), ledger_file(outputs, experiment, scale)):
        if file.exists():
            with suppress(UserError):  # needed only for time estimates
                return {name: arm.seconds for name, arm in read_entry(file).arms.items() if arm.seconds}
    return {}
