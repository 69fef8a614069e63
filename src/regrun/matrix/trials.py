"""The settings tried in a cell."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from regrun.matrix.config import Component, Problem, Range, Search

Setting = Mapping[str, str]
"""Values by key, as one would type them."""


def settings(problem: Problem, component: Component, name: str, trials: int) -> list[Setting]:
    """The settings to try: the config's own values first, then random draws.

    The problem's parameters are drawn identically for all components, so none has luckier learning rates; a
    component's own parameters are drawn by its name. Increasing ``trials`` extends the sequence.

    Args:
        problem: the column.
        component: the row.
        name: name of the component.
        trials: number of trials.
    """
    found: list[Setting] = [{}]
    for trial in range(1, trials):
        shared = draw(problem.search, np.random.default_rng([trial]))
        own = draw(component.search, np.random.default_rng([trial, zlib.crc32(name.encode())]))
        found.append({**shared, **own})
    return found


def draw(search: Search, generator: np.random.Generator) -> dict[str, str]:
    """One value for each key, to three digits."""
    values = {}
    for key, space in search.items():
        if isinstance(space, Range):
            low, high = (np.log([space.low, space.high])) if space.log else (space.low, space.high)
            value = generator.uniform(low, high)
            values[key] = f"{np.exp(value) if space.log else value:.3g}"
        else:
            values[key] = str(space[int(generator.integers(len(space)))])
    return values


def words(setting: Setting) -> list[str]:
    """A setting as overrides."""
    return [f"{key}={value}" for key, value in setting.items()]
