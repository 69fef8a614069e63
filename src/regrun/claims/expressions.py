"""The nodes of a parsed claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from scipy import stats

from regrun.claims.bounds import Bounds, log

DIVERGES = "diverges"


@dataclass(frozen=True)
class Curve:
    """A metric of an arm over the steps of a run: ``metric[arm]``."""

    metric: str
    arm: str

    def __str__(self) -> str:
        quoted = self.metric if self.metric.isidentifier() else f'"{self.metric}"'
        return f"{quoted}[{self.arm}]"


@dataclass(frozen=True)
class Reduction:
    """One number of a curve, such as ``steps_to(test_accuracy[perp_grad], 0.99)``: what is measured."""

    function: str
    curve: Curve
    arguments: tuple[float, ...] = ()

    def evaluate(self, measure: Measure) -> Bounds:
        """The measured number."""
        return measure(self)

    def leaves(self) -> Iterator[Reduction]:
        """Itself."""
        yield self

    def __str__(self) -> str:
        return f"{self.function}({', '.join([str(self.curve), *map(number, self.arguments)])})"


Measure = Callable[[Reduction], Bounds]


class Expression(Protocol):
    """A number computed from measured quantities."""

    def evaluate(self, measure: Measure) -> Bounds:
        """The value for one seed."""

    def leaves(self) -> Iterator[Reduction]:
        """The quantities that it needs."""


@dataclass(frozen=True)
class Constant:
    """A literal number."""

    value: float

    def evaluate(self, measure: Measure) -> Bounds:
        """The number."""
        return Bounds.exact(self.value)

    def leaves(self) -> Iterator[Reduction]:
        """Nothing."""
        yield from ()

    def __str__(self) -> str:
        return number(self.value)


OPERATIONS: dict[str, Callable[[Bounds, Bounds], Bounds]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


@dataclass(frozen=True)
class Operation:
    """Arithmetic: ``left + right``."""

    sign: str
    left: Expression
    right: Expression

    def evaluate(self, measure: Measure) -> Bounds:
        """The result; unknown for a quotient whose divisor may be 0."""
        # A quantity minus itself is 0, even if only bounds are known.
        if self.sign == "-" and self.left == self.right:
            return self.left.evaluate(measure).apply(lambda value: math.nan if math.isnan(value) else 0.0)
        return OPERATIONS[self.sign](self.left.evaluate(measure), self.right.evaluate(measure))

    def leaves(self) -> Iterator[Reduction]:
        """The quantities of both sides."""
        yield from self.left.leaves()
        yield from self.right.leaves()

    def __str__(self) -> str:
        left, right = str(self.left), str(self.right)
        if isinstance(self.left, Operation) and self.sign in "*/" and self.left.sign in "+-":
            left = f"({left})"
        if isinstance(self.right, Operation) and (self.sign in "*/" or self.right.sign in "+-"):
            right = f"({right})"
        return f"{left} {self.sign} {right}"


FUNCTIONS: dict[str, Callable[[Bounds], Bounds]] = {"abs": abs, "log": lambda value: value.apply(log)}


@dataclass(frozen=True)
class Function:
    """A function of one number: ``abs`` or ``log``."""

    name: str
    argument: Expression

    def evaluate(self, measure: Measure) -> Bounds:
        """The function's value."""
        return FUNCTIONS[self.name](self.argument.evaluate(measure))

    def leaves(self) -> Iterator[Reduction]:
        """The quantities of the argument."""
        return self.argument.leaves()

    def __str__(self) -> str:
        return f"{self.name}({self.argument})"


AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "max": max,
    "mean": lambda values: sum(values) / len(values),
}


@dataclass(frozen=True)
class Aggregate:
    """The ``min``, ``max`` or ``mean`` over several arms."""

    name: str
    items: tuple[Expression, ...]

    def evaluate(self, measure: Measure) -> Bounds:
        """The aggregate of the lower and of the upper bounds, since all three are monotone."""
        values = [item.evaluate(measure) for item in self.items]
        if any(value.is_unknown for value in values):
            return Bounds(math.nan, math.nan)
        reduce = AGGREGATES[self.name]
        return Bounds(reduce([value.low for value in values]), reduce([value.high for value in values]))

    def leaves(self) -> Iterator[Reduction]:
        """The quantities of all arms."""
        for item in self.items:
            yield from item.leaves()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.items))})"


RANKS = {"spearman": stats.spearmanr, "kendall": stats.kendalltau}


@dataclass(frozen=True)
class RankCorrelation:
    """``spearman`` or ``kendall`` correlation of a number with the position of its arm in a family.

    Runs that never reach a level tie for the last rank. The correlation is 0 if all values are equal.
    """

    name: str
    positions: tuple[float, ...]
    items: tuple[Expression, ...]

    def evaluate(self, measure: Measure) -> Bounds:
        """The correlation, in [-1, 1]."""
        values = [item.evaluate(measure) for item in self.items]
        if any(value.is_unknown for value in values):
            return Bounds(math.nan, math.nan)
        high = [value.high for value in values]
        if len(set(high)) == 1:
            return Bounds.exact(0.0)
        return Bounds.exact(float(RANKS[self.name](self.positions, stats.rankdata(high)).statistic))

    def leaves(self) -> Iterator[Reduction]:
        """The quantities of all arms."""
        for item in self.items:
            yield from item.leaves()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.items))})"


@dataclass(frozen=True)
class Region:
    """The interval that a claim wants its quantity in, with open or closed ends."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def contains(self, low: float, high: float) -> bool:
        """Whether ``[low, high]`` lies inside."""
        above = low > self.low if self.low_open else low >= self.low
        below = high < self.high if self.high_open else high <= self.high
        return above and below

    def excludes(self, low: float, high: float) -> bool:
        """Whether ``[low, high]`` lies outside, on one side."""
        below = high <= self.low if self.low_open else high < self.low
        above = low >= self.high if self.high_open else low > self.high
        return below or above

    @property
    def ends(self) -> list[float]:
        """Its finite ends, the margins of the claim."""
        return [end for end in (self.low, self.high) if math.isfinite(end)]

    def __str__(self) -> str:
        low = f"{'>' if self.low_open else '≥'} {number(self.low)}"
        high = f"{'<' if self.high_open else '≤'} {number(self.high)}"
        if math.isinf(self.low):
            return high
        return low if math.isinf(self.high) else f"{low} and {high}"


@dataclass(frozen=True)
class Statement:
    """``quantity`` lies in ``region``; a ``ratio`` is compared on the log scale."""

    quantity: Expression
    region: Region
    ratio: bool = False

    def leaves(self) -> Iterator[Reduction]:
        """The quantities that it needs."""
        return self.quantity.leaves()


@dataclass(frozen=True)
class Quantified:
    """``all`` or ``any`` of several statements."""

    kind: str
    parts: tuple[Statement | Quantified, ...]

    def leaves(self) -> Iterator[Reduction]:
        """The quantities that they need."""
        for part in self.parts:
            yield from part.leaves()


Truth = Statement | Quantified


def number(value: float) -> str:
    """A number, formatted as in a claim."""
    return str(int(value)) if value == int_or_nan(value) and abs(value) < 1e15 else f"{value:.6g}"


def int_or_nan(value: float) -> float:
    """The nearest integer, nan if there is none."""
    return float(round(value)) if math.isfinite(value) else math.nan
