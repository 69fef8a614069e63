"""The verdict on a claim: where the interval lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from regrun.claims.bounds import Bounds
from regrun.claims.config import Claim
from regrun.claims.expressions import Quantified, Reduction, Region, Statement, Truth, number
from regrun.claims.statistics import (
    LEVEL,
    holm,
    mean_interval,
    method_name,
    ratio_interval,
    seeds_needed,
    smallest_alpha,
)

FEWEST_SEEDS = 3


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


class NotRunError(Exception):
    """Something a claim needs has not been measured; the message says what."""


@dataclass(frozen=True)
class Part:
    """One comparison of a claim, with its interval.

    Attributes:
        text: the quantity.
        region: where the claim wants it.
        values: of each seed.
        estimate: the mean over seeds (geometric for a ratio), of the lower and of the upper bounds.
        interval: at the level of the claim.
        method: of the interval.
        verdict: on this comparison alone.
        deterministic: whether ``interval`` is the range of the values.
    """

    text: str
    region: Region
    values: tuple[Bounds, ...]
    estimate: Bounds
    interval: tuple[float, float]
    method: str
    verdict: Verdict
    deterministic: bool = False


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


Results = Callable[[Reduction, int], Bounds]


def judge(
    claims: Sequence[Claim], results: Results, seeds: Callable[[Claim], int], looks: int = 1
) -> list[Judgement]:
    """The verdict on every claim of an experiment, with Holm's correction over all that were tested.

    Args:
        claims: the experiment's.
        results: what was measured for a seed; raises ``NotRunError`` if it was not.
        seeds: how many seeds, from 0, a claim is judged on.
        looks: how many times, at most, the figures are looked at while seeds are added: each look is
            allowed its share of the 5 % (Bonferroni), which keeps the whole valid.
    """
    judgements = [judge_one(claim, results, seeds(claim), looks) for claim in claims]
    tested = [k for k, judgement in enumerate(judgements) if judgement.p is not None]
    adjusted = holm([judgements[k].p or 0.0 for k in tested])
    for k, p in zip(tested, adjusted, strict=True):
        judgements[k] = replace(judgements[k], p_holm=p)
    return judgements


def judge_one(claim: Claim, results: Results, seeds: int, looks: int) -> Judgement:
    """The verdict on one claim, without a correction for the others."""
    if seeds < FEWEST_SEEDS:
        return Judgement(claim, Verdict.NOT_RUN, f"a verdict needs at least {FEWEST_SEEDS} seeds", seeds)
    try:
        table = {leaf: [results(leaf, seed) for seed in range(seeds)] for leaf in claim.measured}
    except NotRunError as error:
        return Judgement(claim, Verdict.NOT_RUN, str(error), seeds)
    for leaf, values in table.items():
        if unknown := [seed for seed, value in enumerate(values) if value.is_unknown]:
            why = f"{leaf} has no value for seed {unknown[0]}"
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
                # A few more than there are, at the least: the power is a forecast, and this time it failed.
                needed = max([seeds + 1, *(count for count in counts if count is not None)])
    judgement = Judgement(claim, verdict, "", seeds, parts, p, None, needed)
    return replace(judgement, why=explain(judgement))


class Test:
    """One comparison over seeds."""

    __test__ = False  # not pytest's

    def __init__(self, statement: Statement, values: tuple[Bounds, ...], deterministic: bool) -> None:
        self.statement = statement
        self.values = values
        self.deterministic = deterministic
        self.lows = [value.low for value in values]
        self.highs = [value.high for value in values]
        ends = [end for end in (*self.lows, *self.highs) if math.isfinite(end)]
        self.ratio = statement.ratio and all(end > 0 for end in ends) and min(self.lows, default=0) > 0
        self._low = self._estimator(self.lows)
        self._high = self._low if self.lows == self.highs else self._estimator(self.highs)

    def _estimator(self, ends: list[float]) -> Callable[[float], tuple[float, float]] | None:
        if self.deterministic or not all(map(math.isfinite, ends)):
            return None
        return ratio_interval(ends) if self.ratio else mean_interval(ends)

    def interval(self, alpha: float) -> tuple[float, float]:
        """The hull of the intervals of all lower bounds and of all upper bounds.

        Where a seed is not bounded on a side, the interval is not either.
        """
        if self.deterministic:
            return min(self.lows), max(self.highs)
        low = self._low(1 - alpha)[0] if self._low else -math.inf
        high = self._high(1 - alpha)[1] if self._high else math.inf
        return low, high

    def verdict(self, alpha: float) -> Verdict:
        """Where the interval lies."""
        if self.deterministic:
            inside = [self.statement.region.contains(value.low, value.high) for value in self.values]
            outside = [self.statement.region.excludes(value.low, value.high) for value in self.values]
            if any(outside):
                return Verdict.NOT_REPRODUCED
            return Verdict.REPRODUCED if all(inside) else Verdict.INCONCLUSIVE
        low, high = self.interval(alpha)
        if self.statement.region.contains(low, high):
            return Verdict.REPRODUCED
        if self.statement.region.excludes(low, high):
            return Verdict.NOT_REPRODUCED
        return Verdict.INCONCLUSIVE

    def part(self, alpha: float) -> Part:
        """What is reported of it."""
        mean = geometric_mean if self.ratio else arithmetic_mean
        return Part(
            str(self.statement.quantity),
            self.statement.region,
            self.values,
            Bounds(mean(self.lows), mean(self.highs)),
            self.interval(alpha),
            "every seed" if self.deterministic else method_name(len(self.values), self.ratio),
            self.verdict(alpha),
            self.deterministic,
        )

    def seeds_needed(self, alpha: float) -> int | None:
        """To decide it; ``None`` where a seed is not bounded."""
        if not all(map(math.isfinite, (*self.lows, *self.highs))):
            return None
        transform = math.log if self.ratio else float
        values = [transform((a + b) / 2) for a, b in zip(self.lows, self.highs, strict=True)]
        ends = [transform(end) for end in self.statement.region.ends]
        mean = arithmetic_mean(values)
        return seeds_needed(values, min(ends, key=lambda end: abs(end - mean)), alpha)


class Tests:
    """The comparisons of a claim, and how they combine.

    ``all`` of k comparisons is reproduced where each is (an intersection-union test, which needs no
    correction), and not reproduced where one is not, at ``alpha / k``: the more there are, the sooner one
    fails by chance. For ``any`` it is the other way round.
    """

    __test__ = False

    def __init__(
        self,
        truth: Truth,
        values_of: Callable[[Statement], tuple[Bounds, ...]],
        deterministic: bool,
    ) -> None:
        self.kind = truth.kind if isinstance(truth, Quantified) else None
        self.tests: list[Test | Tests] = (
            [Tests(part, values_of, deterministic) for part in truth.parts]
            if isinstance(truth, Quantified)
            else [Test(truth, values_of(truth), deterministic)]
        )

    @property
    def leaves(self) -> list[Test]:
        """Every comparison."""
        return [leaf for test in self.tests for leaf in ([test] if isinstance(test, Test) else test.leaves)]

    def verdict(self, alpha: float) -> Verdict:
        """The verdict at ``1 - alpha``."""
        if self.kind is None:
            return self.tests[0].verdict(alpha)
        each, one = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED
        if self.kind == "any":
            each, one = one, each
        if any(test.verdict(alpha / len(self.tests)) is one for test in self.tests):
            return one
        return each if all(test.verdict(alpha) is each for test in self.tests) else Verdict.INCONCLUSIVE


def arithmetic_mean(values: Sequence[float]) -> float:
    """The mean, infinite where a value is."""
    return math.fsum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean, infinite where a value is."""
    return math.exp(arithmetic_mean([math.log(value) for value in values]))


def explain(judgement: Judgement) -> str:
    """Why a verdict is what it is, in one sentence."""
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
        return f"{where}{several}; about {judgement.seeds_needed} seeds would decide it"
    return where + several


def figure(value: float) -> str:
    """A number for people: four significant digits."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = number(value) if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
    return text.replace("-", "−")


def estimate_text(estimate: Bounds) -> str:
    """An estimate for people; of one that is only bounded, the bound."""
    if estimate.is_exact or figure(estimate.low) == figure(estimate.high):
        return figure(estimate.low)
    if math.isinf(estimate.low) and math.isinf(estimate.high):
        return "unknown"
    if math.isinf(estimate.high):
        return f"> {figure(estimate.low)}"
    if math.isinf(estimate.low):
        return f"< {figure(estimate.high)}"
    return f"{figure(estimate.low)} to {figure(estimate.high)}"
