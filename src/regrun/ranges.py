"""What a number may be, where more than one place asks for it."""

from __future__ import annotations

import math

SEEDS = 2**32  # generators take the last 32 bits of a seed: larger ones would repeat smaller ones
MOST = 2**63 - 1  # what torch takes for a size


def check_seed(value: object, name: str = "seed") -> int:
    """The seed.

    Raises:
        ValueError: unless it is a whole number from 0 to ``2**32 - 1``.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name}: expected int, got {value!r}")
    if not 0 <= value < SEEDS:
        raise ValueError(f"{name} must lie between 0 and {SEEDS - 1}, which is 2**32 - 1, got {value}")
    return value


def check_seconds(value: object, name: str) -> float:
    """The duration; infinite ones are allowed.

    Raises:
        ValueError: unless it is a number, at least 0.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name}: expected seconds, got {value!r}")
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return float(value)


def check_whole(**values: object) -> None:
    """Raise ``ValueError`` for the first, by its name, that is no whole number, or too large for a size."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        if abs(value) > MOST:
            raise ValueError(f"{name} is too large: {value}")


def check_finite(**values: object) -> None:
    """Raise ``ValueError`` for the first, by its name, that is no number, or not a finite one."""
    for name, value in values.items():
        if isinstance(value, int):
            check_whole(**{name: value})
        elif not isinstance(value, float) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value!r}")
