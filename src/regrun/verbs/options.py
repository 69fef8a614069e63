"""The options of a verb."""

from __future__ import annotations

import argparse
from typing import Never

from regrun.errors import UserError, one_line

MOST_SEEDS = 10_000  # of a reproduction; planning more would take too long


class Options(argparse.ArgumentParser):
    """Parses a verb's words; a mistake is one line, as everywhere else."""

    def error(self, message: str) -> Never:
        """Raise ``UserError`` instead of printing the usage and exiting."""
        raise UserError(f"{one_line(message)} ({self.prog} --help says what there is)")


def positive(text: str) -> int:
    """Parse a positive integer."""
    return between(1, None, text)


def seed_count(text: str) -> int:
    """Parse a number of seeds, from 1 to ``MOST_SEEDS``."""
    return between(1, MOST_SEEDS, text)


def between(low: int, high: int | None, text: str) -> int:
    """Parse an integer from ``low`` to ``high``, if ``high`` is given."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text[:40]!r}")
    return value
