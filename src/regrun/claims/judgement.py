"""A verdict with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from regrun.claims.comparing import Part, Verdict
from regrun.claims.config import Claim


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, with its evidence.

    Attributes:
        claim: the claim.
        verdict: the verdict at 95 %.
        why: the reason, in one sentence.
        seeds: number of seeds judged, from 0.
        parts: the comparisons; empty if the claim was not run.
        p: the smallest ``alpha`` at which the ``1 - alpha`` interval decides, either way; ``None`` for a
            deterministic claim or one that was not run.
        p_holm: the same, corrected over all claims of the experiment.
        seeds_needed: seeds to decide an inconclusive claim with a power of 80 %; ``None`` if unknown.
    """

    claim: Claim
    verdict: Verdict
    why: str
    seeds: int = 0
    parts: tuple[Part, ...] = ()
    p: float | None = None
    p_holm: float | None = None
    seeds_needed: int | None = None
