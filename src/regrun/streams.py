"""Standard output and error, whatever lies behind them: a terminal, a pipe, a full disk, or nobody."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

NOBODY = {errno.EPIPE, errno.EIO}  # the reader has seen enough; the terminal is closed


class Stream:
    """Standard output or error, as it is when it is written to.

    Where nobody listens any more, what is said goes nowhere, and whoever says it goes on: a run is not lost
    with its terminal. What a disk has no room for is an error on standard output; on standard error there is
    nobody left to tell.

    Args:
        name: ``stdout`` or ``stderr``.
    """

    def __init__(self, name: str) -> None:
        self.of = name

    @property
    def stream(self) -> TextIO:
        """The stream itself, rather than what takes its place while a progress bar is drawn."""
        stream = getattr(sys, self.of)
        return getattr(stream, "rich_proxied_file", stream)

    @property
    def encoding(self) -> str:
        """The stream's."""
        return self.stream.encoding

    def write(self, text: str) -> int:
        """Write."""
        try:
            return self.stream.write(text)
        except OSError as error:
            self._heed(error)
            return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        try:
            self.stream.flush()
        except OSError as error:
            self._heed(error)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """The stream's."""
        return self.stream.fileno()

    def _heed(self, error: OSError) -> None:
        nobody = error.errno in NOBODY or self.of == "stderr"
        silence(self.stream)
        if not nobody:
            raise OSError(error.errno, error.strerror, "standard output") from error


def prepare() -> None:
    """Let both streams say what their encoding has no letters for, with a question mark for each."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def flush() -> None:
    """Hand over all that was said.

    Raises:
        OSError: if standard output has no room.
    """
    for name in ("stdout", "stderr"):
        Stream(name).flush()


def silence(stream: TextIO) -> None:
    """Send what a stream holds, and whatever follows, nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it has no file
        pass
