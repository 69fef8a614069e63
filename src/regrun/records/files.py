"""Atomic file writes."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO


def put_in_place(partial: Path, target: Path) -> None:
    """Flush a temporary file to disk, then rename it to its target."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)


class atomic_writer:  # noqa: N801
    """A text stream that atomically and durably replaces ``target`` when the block succeeds."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> IO[str]:
        # tempfile creates files readable by the owner only, whatever the umask.
        self.partial = self.target.with_name(f".{self.target.name}.{os.getpid()}-{secrets.token_hex(4)}")
        self.stream = self.partial.open("x", newline="", encoding="utf-8")
        return self.stream

    def __exit__(self, kind: object, *exception: object) -> None:
        try:
            if kind is None:
                self.stream.flush()
                os.fsync(self.stream.fileno())
                self.stream.close()
                self.partial.replace(self.target)
        finally:
            with suppress(OSError):  # on a full disk, closing fails like flushing, but closes
                self.stream.close()
            self.partial.unlink(missing_ok=True)


def write_atomically(target: Path, text: str) -> None:
    """Replace a file's content atomically: a reader sees the old or the new content."""
    with atomic_writer(target) as stream:
        stream.write(text)
