"""The verdict on a claim, by the position of its interval."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from regrun.claims.bounds import Bounds
from regrun.claims.comparing import Tests, Verdict
from regrun.claims.config import Claim
from regrun.claims.expressions import Reduction, Statement
from regrun.claims.judgement import Judgement
from regrun.claims.statistics import LEVEL, holm, smallest_alpha
from regrun.claims.wording import diverged_in_words, explain
from regrun.plural import seeds as seeds_in_words

FEWEST_SEEDS = 3


class NotRunError(Exception):
    """A quantity that a claim needs has not been measured; the message says which."""


Results = Callable[[Reduction, int], Bounds]


def judge(
    claims: Sequence[Claim],
    results: Results,
    seeds: Callable[[Claim], int],
    looks: int = 1,
    diverged: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> list[Judgement]:
    """Judge every claim of an experiment, with Holm's correction over all that were tested.

    Args:
        claims: the experiment's claims.
        results: looks up a quantity for a seed; raises ``NotRunError`` if it is missing.
        seeds: the number of seeds, from 0, for a claim.
        looks: the maximum number of looks while seeds are added; each look uses its share of the 5 %
            (Bonferroni).
        diverged: seeds whose runs diverged, by arm, for the reasons. ``results`` gives nan for values that
            such a run does not end with.
    """
    judgements = [judge_one(claim, results, seeds(claim), looks, diverged) for claim in claims]
    tested = [k for k, judgement in enumerate(judgements) if judgement.p is not None]
    adjusted = holm([judgements[k].p or 0.0 for k in tested])
    for k, p in zip(tested, adjusted, strict=True):
        judgements[k] = replace(judgements[k], p_holm=p)
    return judgements


def judge_one(
    claim: Claim, results: Results, seeds: int, looks: int, diverged: Mapping[str, Collection[int]]
) -> Judgement:
    """Judge one claim, without correction for the others."""
    if seeds < FEWEST_SEEDS:
        return Judgement(claim, Verdict.NOT_RUN, f"a verdict needs at least {FEWEST_SEEDS} seeds", seeds)
    lost = {arm: [k for k in range(seeds) if k in diverged.get(arm, ())] for arm in claim.arms_by_value}
    lost = {arm: numbers for arm, numbers in lost.items() if numbers}
    try:
        table = {leaf: [results(leaf, seed) for seed in range(seeds)] for leaf in claim.measured}
    except NotRunError as error:
        return Judgement(claim, Verdict.NOT_RUN, str(error), seeds)
    for leaf, values in table.items():
        if unknown := [seed for seed, value in enumerate(values) if value.is_unknown]:
            why = f"{leaf} has no value for {seeds_in_words(unknown)}"
            if set(unknown) & set(lost.get(leaf.curve.arm, ())):
                why = f"{diverged_in_words(lost)}: {why}"
            elif leaf.arguments and len(unknown) == seeds:
                why += ": it is nan, or these steps were not evaluated"
            return Judgement(claim, Verdict.INCONCLUSIVE, why, seeds)

    def values_of(statement: Statement) -> tuple[Bounds, ...]:
        return tuple(statement.quantity.evaluate(lambda leaf: table[leaf][seed]) for seed in range(seeds))  # noqa: B023

    tests = Tests(claim.truth, values_of, claim.deterministic)
    for test in tests.leaves:
        if any(value.is_unknown for value in test.values):
            why = f"{test.statement.quantity} cannot be computed for every seed"
            return Judgement(claim, Verdict.INCONCLUSIVE, why, seeds)
    alpha = (1 - LEVEL) / looks
    verdict = tests.verdict(alpha)
    parts = tuple(test.part(alpha) for test in tests.leaves)
    p = None
    needed = None
    if not claim.deterministic:
        p = min(1.0, looks * smallest_alpha(lambda a: tests.verdict(a) is not Verdict.INCONCLUSIVE))
        if verdict is Verdict.INCONCLUSIVE:
            open_tests = [t for t in tests.leaves if t.verdict(alpha) is Verdict.INCONCLUSIVE]
            counts = [test.seeds_needed(alpha) for test in open_tests]
            if all(count is not None for count in counts):
                # At least a few more: the power was a forecast, which has failed.
                needed = max([seeds + 1, *(count for count in counts if count is not None)])
    judgement = Judgement(claim, verdict, "", seeds, parts, p, None, needed)
    why = explain(judgement) + (f"; {diverged_in_words(lost)}" if lost else "")
    return replace(judgement, why=why)
