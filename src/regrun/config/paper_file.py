"""A paper's single file: its experiment, its scales and its procedures.

``experiment/sdm.yaml`` provides the configs ``experiment/sdm``, ``scale_for/sdm-smoke`` for each of its
scales, and ``procedure/sdm/verification`` for each of its procedures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from regrun.errors import UserError

SECTIONS = ("scales", "procedures")


@dataclass(frozen=True)
class Section:
    """A part of a paper's file that Hydra reads as a config of its own.

    Attributes:
        folder: folder of the configs.
        experiment: name of the experiment.
        kind: ``scales`` or ``procedures``.
        name: name within its kind.
    """

    folder: Path
    experiment: str
    kind: str
    name: str

    @property
    def file(self) -> Path:
        """The file that contains it."""
        return self.folder / "experiment" / f"{self.experiment}.yaml"


def find_section(folder: Path, name: str) -> Section | None:
    """The section that provides a config; ``None`` if no paper's file has one.

    Raises:
        UserError: if the file is not a paper's file.
    """
    group, _, rest = name.removesuffix(".yaml").partition("/")
    if group == "scale_for":
        experiment, _, key = rest.rpartition("-")
        section = Section(folder, experiment, "scales", key)
    elif group == "procedure":
        experiment, _, key = rest.rpartition("/")
        section = Section(folder, experiment, "procedures", key)
    else:
        return None
    if not (experiment and key and section.file.is_file()):
        return None
    return section if key in sections_of(section.file, section.kind) else None


def sections_of(file: Path, kind: str) -> Mapping[str, Any]:
    """The sections of one kind in a paper's file, by name.

    Raises:
        UserError: if they are not a mapping.
    """
    found = load(file).get(kind) or {}
    if not isinstance(found, Mapping):
        raise UserError(f"{file}: {kind}: expected names and what they stand for, got {found!r}")
    return found


def load(file: Path) -> dict[str, Any]:
    """A file's content, with numbers as Hydra's loader reads them; do not modify it."""
    stat = file.stat()
    return _load(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(256)
def _load(file: Path, changed: int, size: int) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return content if isinstance(content, dict) else {}
