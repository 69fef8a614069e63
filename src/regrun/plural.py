"""Counts and lists in words."""

from __future__ import annotations

from collections.abc import Sequence


def count(n: int, what: str, plural: str | None = None) -> str:
    """A number of things: ``1 run``, ``2 runs``, ``1,000 runs``.

    Args:
        n: how many.
        what: one of them.
        plural: several of them, where that is not ``what`` with an s.
    """
    return f"{n:,} {what if n == 1 else plural or what + 's'}"


def listed(words: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last


def seeds(numbers: Sequence[int]) -> str:
    """Which seeds: ``seed 1``, ``seeds 0, 1 and 4``."""
    return f"{'seed' if len(numbers) == 1 else 'seeds'} {listed(numbers)}"
