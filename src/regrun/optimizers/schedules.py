"""Learning-rate schedules: factors of the learning rate as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def constant(steps: int, warmup: int = 0) -> Schedule | None:
    """The learning rate as it is, after a linear warm-up over ``warmup`` steps.

    ``None`` without a warm-up: there is nothing to do at any step.
    """
    return (lambda step: _warm(step, warmup)) if warmup else None


def cosine(steps: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 down to ``floor`` at step ``steps`` (Loshchilov & Hutter, arXiv 1608.03983)."""

    def factor(step: int) -> float:
        done = _progress(step, steps, warmup)
        return _warm(step, warmup) * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)

    return factor


def cosine_rewarmed(steps: int, restart: int, again: int, floor: float = 0.0) -> Schedule:
    """Half a cosine down to ``floor``, times a linear warm-up of ``again`` steps from step ``restart`` on."""
    if not 0 <= restart < steps or again < 0:
        raise ValueError(
            f"restart must be a step before {steps} and again at least 0, got {restart} and {again}"
        )
    whole = cosine(steps, floor=floor)
    return lambda step: whole(step) * (1.0 if step < restart else _warm(step - restart, again))


def linear(steps: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """A straight line from 1 down to ``floor`` at step ``steps``."""

    def factor(step: int) -> float:
        return _warm(step, warmup) * (1 - (1 - floor) * _progress(step, steps, warmup))

    return factor


def multistep(steps: int, milestones: Sequence[float], gamma: float = 0.1, warmup: int = 0) -> Schedule:
    """Multiplied by ``gamma`` at each milestone, which is a share of ``steps``."""
    if any(not 0 < share < 1 for share in milestones):
        raise ValueError(f"milestones must be shares of the steps, between 0 and 1, got {list(milestones)}")

    def factor(step: int) -> float:
        return _warm(step, warmup) * gamma ** sum(step >= share * steps for share in milestones)

    return factor


def inverse_decay(steps: int, decay: float = 1e-5, warmup: int = 0) -> Schedule:
    """``1 / (1 + decay * step)``, whatever the number of steps."""
    if decay < 0:
        raise ValueError(f"decay must be at least 0, got {decay}")
    return lambda step: _warm(step, warmup) / (1 + decay * step)


def _warm(step: int, warmup: int) -> float:
    return 1.0 if step >= warmup else (step + 1) / (warmup + 1)


def _progress(step: int, steps: int, warmup: int) -> float:
    return min(1.0, max(0.0, (step - warmup) / max(1, steps - warmup)))
