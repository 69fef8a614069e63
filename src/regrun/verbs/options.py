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


def seed_count(text: str) -> int:
    """A number of seeds, from 1 to ``MOST_SEEDS``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_SEEDS}, got {text[:40]!r}")
    return value
