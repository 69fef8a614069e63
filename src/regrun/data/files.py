"""Files that have to be there, under their names, and as they were published."""

from __future__ import annotations

from pathlib import Path

from regrun.data.download import checksum


def other_capitals(file: Path, root: Path) -> Path | None:
    """An existing path that differs from a missing file, or a folder on the way to it, only in capitals.

    Args:
        file: a missing file.
        root: the folder below which names count; the file's own where it lies elsewhere.
    """
    if not file.is_relative_to(root):
        root = file.parent
    for part in file.relative_to(root).parts:
        if not (root / part).exists():
            names = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
            return next((root / name for name in names if name.lower() == part.lower()), None)
        root = root / part
    return None


def misspelt(file: Path, root: Path) -> str:
    """A hint for a missing file: an existing path with other capitals; else empty."""
    found = other_capitals(file, root)
    return f" ({found} has other capitals)" if found else ""


def check_md5(file: Path, md5: str) -> None:
    """Raise ``ValueError`` unless a file's content is the published one."""
    if (found := checksum(file)) != md5:
        raise ValueError(
            f"{file} is not what was published: its MD5 is {found}, and should be {md5}; remove it, to "
            "have it unpacked or downloaded anew"
        )
