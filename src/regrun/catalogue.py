"""What there is to choose, read from the config files as text: a listing needs neither Hydra nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from regrun.errors import UserError, nearest
from regrun.paths import conf_dir

COMPONENT_GROUPS = (
    "dataset",
    "label_noise",
    "pixels",
    "augmentation",
    "attention",
    "model",
    "optimizer",
    "schedule",
    "regularizer",
    "probe",
    "procedure",
    "trainer",
    "logger",
    "scale",
)


@dataclass(frozen=True)
class Entry:
    """One choice of one group.

    Attributes:
        group: ``experiment``, ``dataset``, ...
        name: what one types after ``group=``.
        says: one line about it.
        file: its config.
    """

    group: str
    name: str
    says: str
    file: Path

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every word stands in the group, the name or the line."""
        text = f"{self.group} {self.name} {self.says}".lower()
        return all(word.lower() in text for word in words)


def experiments(folders: Sequence[Path] = ()) -> list[Entry]:
    """Every experiment, in regrun's configs and in further folders."""
    return list(_entries("experiment", folders))


def components(folders: Sequence[Path] = ()) -> list[Entry]:
    """Every component of every group."""
    return [entry for group in COMPONENT_GROUPS for entry in _entries(group, folders)]


def find(name: str, folders: Sequence[Path] = ()) -> Entry:
    """The experiment or component of a name, plain or as ``group=name``.

    Raises:
        UserError: if there is none; names the nearest.
    """
    group, _, bare = name.rpartition("=")
    entries = [*experiments(folders), *components(folders)]
    for entry in entries:
        if entry.name == bare and group in ("", entry.group):
            return entry
    hint = nearest(bare, [entry.name for entry in entries])
    raise UserError(f"nothing is called {name!r}{hint} (regrun list names everything)")


def read_yaml(file: Path) -> dict[str, Any]:
    """A config file's content.

    Raises:
        UserError: if it is not YAML.
    """
    try:
        # The C parser is ten times faster, where PyYAML was built with it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=loader) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} is no config: expected keys and values, got {type(content).__name__}")
    return content


def title_of(file: Path) -> str | None:
    """The title of an experiment's paper, if it has one.

    Raises:
        UserError: if what it says of its paper is not keys and values.
    """
    paper = paper_of(file)
    return str(paper["title"]) if "title" in paper else None


def topics() -> dict[str, str]:
    """What each of regrun's experiments is about, by its name, as far as it says so."""
    papers = {entry.name: paper_of(entry.file) for entry in experiments()}
    return {name: str(paper["topic"]) for name, paper in papers.items() if "topic" in paper}


def paper_of(file: Path) -> dict[str, Any]:
    """What an experiment says of its paper.

    Raises:
        UserError: if that is not keys and values.
    """
    paper = read_yaml(file).get("paper") or {}
    if not isinstance(paper, dict):
        raise UserError(f"{file}: paper: expected keys and values, got {paper!r}")
    return paper


def _entries(group: str, folders: Sequence[Path]) -> Iterator[Entry]:
    for folder in (conf_dir(), *folders):
        for file in sorted((folder / group).glob("**/*.yaml")):
            name = file.relative_to(folder / group).with_suffix("").as_posix()
            title = title_of(file) if group == "experiment" else None
            yield Entry(group, name, title or _first_comment(file), file)


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ")
    return ""
