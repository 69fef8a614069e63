"""Counts that are options of a command."""

from __future__ import annotations

import argparse

from regrun.ranges import SEEDS


def positive(text: str) -> int:
    """A positive integer."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected at least 1")
    return value


def seed_count(text: str) -> int:
    """How many seeds, from 0: there are ``2**32``."""
    value = positive(text)
    if value > SEEDS:
        raise argparse.ArgumentTypeError(f"expected at most {SEEDS}, as many as there are")
    return value
