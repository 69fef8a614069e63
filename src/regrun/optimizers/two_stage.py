"""A learning-rate schedule of two stages."""

from __future__ import annotations

from regrun.optimizers.schedules import Schedule, cosine


def cosine_then_constant(steps: int, first: float = 0.5, constant: float = 0.1, warmup: int = 0) -> Schedule:
    """Half a cosine from 1 down to 0 over a share of the steps, then a constant factor.

    What one has who trains, and then trains on at a small rate.

    Args:
        steps: steps of both stages.
        first: the share of the first stage, strictly between 0 and 1.
        constant: the factor of the second.
        warmup: steps of a linear warm-up.
    """
    if not 0 < first < 1:
        raise ValueError(f"first must lie strictly between 0 and 1, got {first}")
    end = round(first * steps)
    falling = cosine(end, warmup)
    return lambda step: falling(step) if step < end else constant
