"""The available choices, read from config files as text, without Hydra or torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
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

# Groups with one member in a run, and groups with several, keyed by name.
SINGLE = ("dataset", "label_noise", "pixels", "attention", "model", "optimizer", "schedule", "procedure")
SEVERAL = ("augmentation", "regularizer", "probe")


@dataclass(frozen=True)
class Choice:
    """One choice of one group.

    Attributes:
        group: ``experiment``, ``dataset``, ...
        name: the word after ``group=``.
        file: its config file, or its paper's.
        section: its name in its paper's file, for a procedure without a file of its own.
    """

    group: str
    name: str
    file: Path
    section: str | None = None

    @property
    def text(self) -> str:
        """Its config as text; for a paper's procedure, its section of the paper's file."""
        text = self.file.read_text(encoding="utf-8")
        return next((lines for name, _, lines in procedures_in(text) if name == self.section), text)

    @cached_property
    def says(self) -> str:
        """A one-line summary: the title of an experiment's paper, else the first comment of the file."""
        text = self.file.read_text(encoding="utf-8")
        if self.section is not None:
            return next(comment for name, comment, _ in procedures_in(text) if name == self.section)
        title = title_of(self.file, text) if self.group == "experiment" else None
        return title or first_comment(text)

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every word occurs in the group, the name or the summary."""
        text = f"{self.group} {self.name} {self.says}".lower()
        return all(word.lower() in text for word in words)


def experiments(folders: Sequence[Path] = ()) -> list[Choice]:
    """Every experiment in regrun's configs and in further folders."""
    return list(entries_of("experiment", folders))


def components(folders: Sequence[Path] = ()) -> list[Choice]:
    """Every component of every group."""
    return [entry for group in COMPONENT_GROUPS for entry in entries_of(group, folders)]


def find(name: str, folders: Sequence[Path] = ()) -> Choice:
    """The experiment or component with this name, plain or as ``group=name``.

    Raises:
        UserError: if there is none, with the nearest name.
    """
    group, _, bare = name.rpartition("=")
    entries = [*experiments(folders), *components(folders)]
    for entry in entries:
        if entry.name == bare and group in ("", entry.group):
            return entry
    hint = nearest(bare, [entry.name for entry in entries])
    raise UserError(f"nothing is called {name!r}{hint} (regrun list names everything)")


def read_yaml(file: Path) -> dict[str, Any]:
    """The content of a config file.

    Raises:
        UserError: if it is not valid YAML.
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


def title_of(file: Path, text: str) -> str | None:
    """The title of an experiment's paper, if it has one.

    Raises:
        UserError: if its ``paper`` is not a mapping.
    """
    # As regrun's own files have it; the parser reads any other layout.
    if match := re.search(r"^paper:\n  title: ([^|>\s].*)$", text, re.MULTILINE):
        return str(yaml.safe_load(match[1]))
    paper = paper_of(file)
    return str(paper["title"]) if "title" in paper else None


def topics() -> dict[str, str]:
    """The topic of each of regrun's experiments that states one, by name."""
    papers = {entry.name: paper_of(entry.file) for entry in experiments()}
    return {name: str(paper["topic"]) for name, paper in papers.items() if "topic" in paper}


def paper_of(file: Path) -> dict[str, Any]:
    """The ``paper`` section of an experiment.

    Raises:
        UserError: if it is not a mapping.
    """
    paper = read_yaml(file).get("paper") or {}
    if not isinstance(paper, dict):
        raise UserError(f"{file}: paper: expected keys and values, got {paper!r}")
    return paper


def parents(content: Mapping[str, Any]) -> list[str]:
    """The experiments that an experiment builds on: ``defaults: [grokking, _self_]``."""
    return [
        entry.removeprefix("/experiment/")
        for entry in content.get("defaults") or []
        if isinstance(entry, str) and entry != "_self_"
    ]


def names(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """The names that ``group=`` accepts."""
    return [entry.name for entry in entries_of(group, folders)]


def entries_of(group: str, folders: Sequence[Path] = ()) -> Iterator[Choice]:
    """Every choice of a group in regrun's configs and in further folders."""
    for folder in (conf_dir(), *folders):
        for file in sorted((folder / group).glob("**/*.yaml")):
            yield Choice(group, file.relative_to(folder / group).with_suffix("").as_posix(), file)
        for file in sorted((folder / "experiment").glob("**/*.yaml")) if group == "procedure" else ():
            paper = file.relative_to(folder / "experiment").with_suffix("").as_posix()
            for name, _, _ in procedures_in(file.read_text(encoding="utf-8")):
                yield Choice(group, f"{paper}/{name}", file, name)


def procedures_in(text: str) -> Iterator[tuple[str, str, str]]:
    """The procedures in a paper's file, read as text: name, the comment beside it, its lines."""
    lines = text.splitlines()
    starts = [k for k, line in enumerate(lines) if line.startswith("procedures:")]
    rest = lines[starts[0] + 1 :] if starts else []
    end = next((k for k, line in enumerate(rest) if line and line[0] not in " #"), len(rest))
    heads = [
        k for k, line in enumerate(rest[:end]) if line[:2] == "  " and line[2:3].isalpha() and ":" in line
    ]
    for head, after in pairwise([*heads, end]):
        name, _, comment = rest[head].partition(":")
        own = [line[4:] for line in rest[head + 1 : after]]
        yield name.strip(), comment.strip(" #"), "\n".join(own).rstrip()


def first_comment(text: str) -> str:
    """The first comment of a config that is not a Hydra directive."""
    for line in text.splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ")
    return ""
