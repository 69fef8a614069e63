"""Mistakes that are the user's to mend: one line, what was expected, and the nearest right spelling."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

NO_PLACE = {
    *(errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EFBIG),
    *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
}


class UserError(Exception):
    """Something the user can mend. Its message is printed as one line and the command exits with 2."""


class LostProcessError(UserError):
    """A process of a distributed run has ended before the others."""


class TrainingDivergedError(UserError):
    """The training loss stopped being finite.

    Args:
        step: the first optimization step (counted from 1) whose loss was not finite.
        value: the loss at that step, ``nan`` or ``inf``.
    """

    def __init__(self, step: int, value: float) -> None:
        self.step = step
        self.value = value
        super().__init__(
            f"the loss became {value} at step {step}; what was saved before is kept "
            "(try a smaller learning rate, or a higher trainer.precision)"
        )


def one_line(error: BaseException | str) -> str:
    """The message of an error, on one line."""
    text = str(error) or type(error).__name__
    return " ".join(text.split())


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the known word nearest to ``word``, or the empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


@contextmanager
def naming_full_disks() -> Iterator[None]:
    """Say in plain words that a disk is full or cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        raise UserError(f"cannot write {error.filename or 'the record'}: {error.strerror}") from error
