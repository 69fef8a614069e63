"""How long calls take, compared with each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median


def in_turns(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """The median seconds of each call, the calls taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for place, call in enumerate(calls):
            begin = time.perf_counter()
            call()
            times[place].append(time.perf_counter() - begin)
    return [median(found) for found in times]
