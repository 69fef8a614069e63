"""A verdict with what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from regrun.claims.comparing import Part, Verdict
from regrun.claims.config import Claim


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, and what it rests on.

    Attributes:
        claim: the claim.
        verdict: by the interval at 95 %.
        why: in one sentence.
        seeds: how many seeds were judged, from 0.
        parts: its comparisons; empty if it was not run.
        p: the smallest ``alpha`` at which the ``1 - alpha`` interval decides, either way; ``None`` where
            nothing is tested: a deterministic claim, or one that was not run.
        p_holm: the same, corrected over all claims of the experiment.
        seeds_needed: to decide an inconclusive claim with a power of 80 %; ``None`` if that cannot be told.
    """

    claim: Claim
    verdict: Verdict
    why: str
    seeds: int = 0
    parts: tuple[Part, ...] = ()
    p: float | None = None
    p_holm: float | None = None
    seeds_needed: int | None = None
