"""Images decoded once, kept as arrays that every later run maps into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

VERSION = 1  # of the cache format; other versions are rebuilt


@dataclass(frozen=True)
class Decoded:
    """The images of one split.

    Attributes:
        x: uint8 ``(n, channels, height, width)``, channels last in memory.
        y: labels, int64 ``(n,)``.
        names: names of the classes, in the order of the labels.
    """

    x: Tensor
    y: Tensor
    names: tuple[str, ...]


# What a decoder gives: uint8 (n, height, width, channels), labels (n,), names.
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], Sequence[str]]


def cached(sources: Sequence[Path], data_dir: Path, label: str, decode: Callable[[], Arrays]) -> Decoded:
    """The images that ``decode`` gives, decoded at most once for as long as their files do not change.

    Safe among processes: one decodes, the others wait for it.

    Args:
        sources: the files or folders that are decoded.
        data_dir: the cache lies in it if it can be written, else in the user's own cache folder.
        label: name of the cache's folder.
        decode: called if there is no cache, or if it is of other files or another version.

    Raises:
        ValueError: if there cannot be a lock.
    """
    folder, meta = place_of(sources, data_dir, label)
    if (found := read(folder, meta)) is not None:
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_suffix(".lock")
    if lock.is_dir():
        raise ValueError(f"{lock} is a folder, where a file is to be; remove it")
    with FileLock(lock):
        if (found := read(folder, meta)) is not None:
            return found
        write(folder, meta, decode())
        found = read(folder, meta)
        assert found is not None
        return found


def is_cached(sources: Sequence[Path], data_dir: Path, label: str) -> bool:
    """Whether the images of existing files are already decoded; see ``cached``."""
    return read(*place_of(sources, data_dir, label)) is not None


def place_of(sources: Sequence[Path], data_dir: Path, label: str) -> tuple[Path, dict[str, object]]:
    """The folder of a cache, and its key, which changes with the files."""
    where = hashlib.sha256("\0".join(str(s.resolve()) for s in sources).encode()).hexdigest()[:8]
    meta: dict[str, object] = {"version": VERSION, "files": fingerprint_files(sources)}
    return cache_folder(data_dir) / f"{label}-{where}", meta


def cache_folder(data_dir: Path) -> Path:
    """Beside the data, or in the user's cache folder where the data cannot be written."""
    folder = data_dir if data_dir.exists() else data_dir.parent
    # The administrator may write everywhere, and is to respect a folder that nobody is meant to write.
    if os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222:
        return data_dir / ".regrun"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regrun"


def fingerprint_files(sources: Sequence[Path]) -> str:
    """A hash of the names, sizes and times of all files, which is cheaper than of their content."""
    digest = hashlib.sha256()
    for source in sources:
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            stat = file.stat()
            if not file.is_dir():
                digest.update(
                    f"{file.relative_to(source.parent)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode()
                )
    return digest.hexdigest()


def read(folder: Path, meta: dict[str, object]) -> Decoded | None:
    """The content of a cache; ``None`` if it is absent, damaged, or of other files."""
    try:
        kept = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if not isinstance(kept, dict) or not is_names(names := kept.pop("names")) or kept != meta:
            return None
        x = np.load(folder / "x.npy", mmap_mode="c")  # copy on write: torch has no tensors that are read-only
        y = np.load(folder / "y.npy")
    except (OSError, ValueError, KeyError, EOFError, RecursionError, SyntaxError):
        return None
    if x.dtype != np.uint8 or x.ndim != 4 or y.dtype != np.int64 or y.shape != x.shape[:1]:
        return None
    if len(y) and not 0 <= y.min() <= y.max() < len(names):
        return None
    return Decoded(torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y), tuple(names))


def is_names(value: object) -> bool:
    """Whether a value of JSON is names of classes."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def write(folder: Path, meta: dict[str, object], arrays: Arrays) -> None:
    """Write a cache beside its place, then move it there."""
    x, y, names = arrays
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        np.save(partial / "x.npy", np.ascontiguousarray(x))
        np.save(partial / "y.npy", np.asarray(y, dtype=np.int64))
        (partial / "meta.json").write_text(json.dumps({**meta, "names": list(names)}), encoding="utf-8")
        if folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
