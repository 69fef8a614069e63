"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO


def put_in_place(partial: Path, target: Path) -> None:
    """Move a file that has been written beside its place there, once it is on the disk, come what may."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.replace(target)


class atomic_writer:  # noqa: N801
    """A text stream beside ``target`` that takes its place, durably, when the block ends well."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> IO[str]:
        # Not tempfile's, whose files are for their owner's eyes only, whatever the umask says.
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
            with suppress(OSError):  # on a full disk closing fails as flushing did, and closes all the same
                self.stream.close()
            self.partial.unlink(missing_ok=True)


def write_atomically(target: Path, text: str) -> None:
    """Replace a file's content, so that a reader sees the old or the new, never a part."""
    with atomic_writer(target) as stream:
        stream.write(text)
