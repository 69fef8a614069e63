"""Checks of a user's own YAML files before they are read as configs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from regrun.config.catalogue import COMPONENT_GROUPS, read_yaml
from regrun.errors import UserError, one_line
from regrun.paths import conf_dir

GROUPS = ("experiment", *COMPONENT_GROUPS)
LARGEST = 2**20  # bytes
DEEPEST = 40  # levels of nesting
MOST_NODES = 100_000  # with aliases expanded


def check_config_dir(folder: Path) -> None:
    """Check that a folder holds configs, all valid YAML, none named as one of regrun's.

    Raises:
        UserError: for the first problem.
    """
    if not folder.is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder")
    try:
        groups = {entry.name for entry in folder.iterdir() if entry.is_dir()}
        if not groups & {*GROUPS, "matrix"}:
            raise UserError(
                f"--config-dir {folder} holds no regrun configs: expected folders such as experiment/, "
                "dataset/ or regularizer/ with .yaml files"
            )
        if (folder / "scale_for").exists():
            raise UserError(
                f"{folder / 'scale_for'}: an experiment's own file says what it is at a scale: "
                "scales: {smoke: [steps=4]}"
            )
        for group, file in config_files(folder):
            check_new(group, file, folder)
            check_yaml(file)
            if group == "experiment":
                check_parents(file)
    except OSError as error:
        raise UserError(
            f"--config-dir {error.filename or folder} cannot be read: {error.strerror}"
        ) from error


def config_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder that regrun reads, with their groups."""
    for group in (*GROUPS, "matrix"):
        for file in sorted((folder / group).glob("**/*.yaml")):
            yield group, file


def check_new(group: str, file: Path, folder: Path) -> None:
    """Raise ``UserError`` if regrun has a config of the same name, which would shadow this one."""
    ours = conf_dir() / file.relative_to(folder)
    if ours.exists() and not ours.samefile(file):
        raise UserError(
            f"{file}: regrun has a {group} of this name, which would be read instead; rename yours"
        )


def check_parents(file: Path) -> None:
    """Raise ``UserError`` if an experiment overrides ``experiment`` instead of building on another."""
    for entry in read_yaml(file).get("defaults") or []:
        for key, name in entry.items() if isinstance(entry, dict) else ():
            if str(key).removeprefix("override ").lstrip("/") == "experiment":
                raise UserError(f"{file}: an experiment builds on another with defaults: [{name}, _self_]")


def check_yaml(file: Path) -> None:
    """Check that a file is YAML of reasonable size, without expanding aliases.

    Raises:
        UserError: with the reason.
    """
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file} is too large for a config: more than {LARGEST} bytes")
    try:
        text = file.read_text(encoding="utf-8")
        nodes = count_nodes(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text: byte {error.object[error.start]:#04x}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not valid YAML: {one_line(error)}") from error
    if nodes is None:
        raise UserError(
            f"{file} is no config: nested more than {DEEPEST} levels deep, or more than {MOST_NODES} "
            "values with all its aliases"
        )


def count_nodes(text: str) -> int | None:
    """The number of values in a YAML text; ``None`` if it is nested too deeply or has too many."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        size = 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            sizes |= {anchor: size} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), MOST_NODES)  # an alias inside its anchor: the maximum
        anchor, total = open_nodes[-1]
        open_nodes[-1] = (anchor, total + size)
        if len(open_nodes) > DEEPEST or total + size > MOST_NODES:
            return None
    return open_nodes[0][1]


def folders_of(config_dirs: Sequence[str | Path | None]) -> list[Path]:
    """Check the folders of the user's own configs; folders that are ``None`` are left out."""
    folders = [Path(folder) for folder in config_dirs if folder is not None]
    for folder in folders:
        check_config_dir(folder)
    return folders
