"""Verdicts and figures in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from regrun.claims.bounds import Bounds
from regrun.claims.comparing import Verdict
from regrun.claims.expressions import number
from regrun.plural import count, seeds

if TYPE_CHECKING:
    from regrun.claims.judgement import Judgement


def explain(judgement: Judgement) -> str:
    """The reason for a verdict, in one sentence."""
    parts = judgement.parts
    decisive = [part for part in parts if part.verdict is judgement.verdict] or list(parts)
    part = decisive[0]
    several = f" ({part.text})" if len(parts) > 1 else ""
    if part.deterministic:
        worst = {
            Verdict.REPRODUCED: f"all {judgement.seeds} seeds are {part.region}",
            Verdict.NOT_REPRODUCED: f"not every seed is {part.region}",
        }.get(judgement.verdict, f"not every seed is known to be {part.region}")
        return f"{worst}: from {figure(part.interval[0])} to {figure(part.interval[1])}{several}"
    never = sum(not value.is_exact for value in part.values)
    several += f"; in {never} of {judgement.seeds} seeds an arm never gets there" if never else ""
    several += "; all seeds gave the same figure" if len(set(part.values)) == 1 and not never else ""
    where = {
        Verdict.REPRODUCED: f"the whole interval is {part.region}",
        Verdict.NOT_REPRODUCED: f"no part of the interval is {part.region}",
    }.get(judgement.verdict, f"the interval lies on both sides of {part.region}")
    if judgement.verdict is Verdict.REPRODUCED and len(parts) > 1 and len(decisive) == len(parts):
        return f"in each of {len(parts)} comparisons the whole interval is where the claim wants it"
    if judgement.verdict is not Verdict.INCONCLUSIVE:
        return where + several
    if judgement.seeds_needed is not None:
        return f"{where}{several}; about {count(judgement.seeds_needed, 'seed')} would decide it"
    return where + several


def diverged_in_words(diverged: Mapping[str, Sequence[int]]) -> str:
    """The diverged runs in words: ``a diverged in seed 1, b in seeds 0 and 2``.

    Args:
        diverged: the seeds of each arm; not empty.
    """
    first, *rest = [(arm, seeds(numbers)) for arm, numbers in diverged.items()]
    return ", ".join([f"{first[0]} diverged in {first[1]}", *(f"{arm} in {which}" for arm, which in rest)])


def figure(value: float) -> str:
    """A number with four significant digits."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = number(value) if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
    return text.replace("-", "−")


def estimate_text(estimate: Bounds) -> str:
    """An estimate in words; its bound if it is only bounded."""
    if estimate.is_exact or figure(estimate.low) == figure(estimate.high):
        return figure(estimate.low)
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "unknown"
    if math.isinf(estimate.high):
        return f"> {figure(estimate.low)}"
    if math.isinf(estimate.low):
        return f"< {figure(estimate.high)}"
    return f"{figure(estimate.low)} to {figure(estimate.high)}"
