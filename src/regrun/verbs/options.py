"""The options of a verb."""

from __future__ import annotations

import argparse
from typing import Never

from regrun.errors import UserError, one_line

MOST_SEEDS = 10_000  # of a reproduction: more take longer to plan than anybody waits


class Options(argparse.ArgumentParser):
    """Reads a verb's words; a mistake is one line, as everywhere else."""

    def error(self, message: str) -> Never:
        """Raise ``UserError``, in place of the usage and exit."""
        raise UserError(f"{one_line(message)} ({self.prog} --help says what there is)")


def positive(text: str) -> int:
    """A number from 1 on."""
    return between(1, None, text)


def seed_count(text: str) -> int:
    """A number of seeds, from 1 to ``MOST_SEEDS``."""
    return between(1, MOST_SEEDS, text)


def between(low: int, high: int | None, text: str) -> int:
    """A whole number of an option, from ``low`` to ``high``, if there is a highest."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text[:40]!r}")
    return value
