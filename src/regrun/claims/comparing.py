"""One comparison over seeds, and how several combine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from regrun.claims.bounds import Bounds
from regrun.claims.expressions import Quantified, Region, Statement, Truth
from regrun.claims.scaling import arithmetic_mean, geometric_mean, middle
from regrun.claims.statistics import mean_interval, method_name, ratio_interval, seeds_needed


class Verdict(StrEnum):
    """The verdict on a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Part:
    """A comparison of a claim, with its interval.

    Attributes:
        text: text of the quantity.
        region: the region that the claim wants it in.
        values: value of each seed.
        estimate: mean over seeds (geometric for a ratio) of the lower and of the upper bounds.
        interval: interval at the level of the claim.
        method: method of the interval.
        verdict: verdict on this comparison alone.
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


class Test:
    """One comparison over seeds."""

    __test__ = False  # so that pytest does not collect it

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
        if len(set(ends)) == 1 and math.isinf(ends[0]) and self.lows == self.highs:
            return lambda level: (ends[0], ends[0])  # known, and equal for all seeds
        if self.deterministic or not all(map(math.isfinite, ends)):
            return None
        return ratio_interval(ends) if self.ratio else mean_interval(ends)

    def interval(self, alpha: float) -> tuple[float, float]:
        """The hull of the intervals of the lower and of the upper bounds.

        If a seed is unbounded on a side, so is the interval.
        """
        if self.deterministic:
            return min(self.lows), max(self.highs)
        low = self._low(1 - alpha)[0] if self._low else -math.inf
        high = self._high(1 - alpha)[1] if self._high else math.inf
        return low, high

    def verdict(self, alpha: float) -> Verdict:
        """The verdict, by the position of the interval relative to the region."""
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
        """The reported form of the comparison."""
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
        """The number of seeds needed for a decision; ``None`` if a seed is unbounded."""
        if not all(map(math.isfinite, (*self.lows, *self.highs))):
            return None
        transform = math.log if self.ratio else float
        values = [transform(middle(a, b)) for a, b in zip(self.lows, self.highs, strict=True)]
        ends = [transform(end) for end in self.statement.region.ends]
        mean = arithmetic_mean(values)
        return seeds_needed(values, min(ends, key=lambda end: abs(end - mean)), alpha)


class Tests:
    """The comparisons of a claim, and how they combine.

    ``all`` of k comparisons is reproduced if each is (an intersection-union test, which needs no correction),
    and not reproduced if one fails at ``alpha / k``, since more comparisons make a chance failure likelier.
    ``any`` is the converse.
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
        """All comparisons."""
        return [leaf for test in self.tests for leaf in ([test] if isinstance(test, Test) else test.leaves)]

    def verdict(self, alpha: float) -> Verdict:
        """The verdict at confidence ``1 - alpha``."""
        if self.kind is None:
            return self.tests[0].verdict(alpha)
        each, one = Verdict.REPRODUCED, Verdict.NOT_REPRODUCED
        if self.kind == "any":
            each, one = one, each
        if any(test.verdict(alpha / len(self.tests)) is one for test in self.tests):
            return one
        return each if all(test.verdict(alpha) is each for test in self.tests) else Verdict.INCONCLUSIVE
