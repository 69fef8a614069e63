"""A paper's one file: its experiment, its scales and the procedures that only it uses.

``experiment/sdm.yaml`` answers for three names: ``experiment/sdm``, ``scale_for/sdm-smoke`` for each of its
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
    """A part of a paper's file that is a config of its own.

    Attributes:
        folder: of the configs.
        experiment: the paper's name.
        kind: ``scales`` or ``procedures``.
        name: within its kind.
    """

    folder: Path
    experiment: str
    kind: str
    name: str

    @property
    def file(self) -> Path:
        """Where it is written."""
        return self.folder / "experiment" / f"{self.experiment}.yaml"


def find_section(folder: Path, name: str) -> Section | None:
    """The section that answers for a config's name; ``None`` if no paper's file has one.

    Raises:
        UserError: if the file cannot be read as a paper's.
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
    """The sections of one kind that a paper's file has, by name.

    Raises:
        UserError: if they are not keys and values.
    """
    found = load(file).get(kind) or {}
    if not isinstance(found, Mapping):
        raise UserError(f"{file}: {kind}: expected names and what they stand for, got {found!r}")
    return found


def load(file: Path) -> dict[str, Any]:
    """A file's content, with numbers as Hydra's loader reads them; not to be changed."""
    stat = file.stat()
    return _load(file, stat.st_mtime_ns, stat.st_size)


@lru_cache(64)
def _load(file: Path, changed: int, size: int) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return content if isinstance(content, dict) else {}
