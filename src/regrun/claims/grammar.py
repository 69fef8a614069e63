"""The grammar of claims. Python's parser reads the line, which is never evaluated as Python.

::

    claim      = comparison | all(claim, ...) | any(claim, ...) | close(number, number, tolerance)
               | increasing(number) | decreasing(number)                      over a family of arms
    comparison = number < number [< number]                                   also <=, >, >=
    number     = 0.3 | number + number (also - * /) | abs(number) | log(number)
               | last(curve) | at(curve, step) | steps_to(curve, level) | steps_down_to(curve, level)
               | min(curve) max(curve) mean(curve) auc(curve) slope(curve), each also (curve, from, to)
             | diverges(curve)                                              1 if it ends in nan or inf, else 0
               | min(number) max(number) mean(number)                         over several arms
               | spearman(number) | kendall(number)                           over a family of arms
    curve      = metric[arm] | "metric/part"[arm]                             alone it means last(curve)
    arm        = name | family | family(value) | arm, arm, ...

An expression over several arms applies to each: ``all(last(test_accuracy[a, b]) > 0.9)``.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from regrun.claims.expressions import (
    AGGREGATES,
    DIVERGES,
    FUNCTIONS,
    OPERATIONS,
    RANKS,
    Aggregate,
    Constant,
    Curve,
    Expression,
    Function,
    Operation,
    Quantified,
    RankCorrelation,
    Reduction,
    Region,
    Statement,
    Truth,
)
from regrun.config.arms import Arm
from regrun.errors import UserError, nearest, one_line

# Functions of a curve, with the allowed numbers of further arguments.
REDUCTIONS = {
    "last": (0,),
    "at": (1,),
    "steps_to": (1,),
    "steps_down_to": (1,),
    "min": (0, 2),
    "max": (0, 2),
    "mean": (0, 2),
    "auc": (0, 2),
    "slope": (0, 2),
    DIVERGES: (0,),
}
SIGNS: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS: dict[type, str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
MONOTONE = {"increasing": ">", "decreasing": "<"}
TRUTHS = ("all", "any", "close", *MONOTONE)
KNOWN = (*REDUCTIONS, *FUNCTIONS, *RANKS, *TRUTHS)
LONGEST = 2000  # characters
DEEPEST = 100  # nested calls, signs and brackets
EXAMPLE = "a claim is a comparison, such as last(test_accuracy[arm]) > 0.9"
T = TypeVar("T")


class ClaimError(UserError):
    """A claim that cannot be parsed."""


@dataclass(frozen=True)
class Curves:
    """Curves of one or several arms, with the arms' positions in their family."""

    items: tuple[Curve, ...]
    positions: tuple[float, ...]


@dataclass(frozen=True)
class Numbers:
    """A number for each of several arms."""

    items: tuple[Expression, ...]
    positions: tuple[float, ...]


@dataclass(frozen=True)
class Truths:
    """A statement for each of several arms."""

    items: tuple[Truth, ...]


Value = Curves | Numbers | Truths


def parse(line: str, arms: Mapping[str, Arm]) -> Truth:
    """Parse a claim.

    Args:
        line: the claim, in the grammar above.
        arms: the experiment's arms by name.

    Raises:
        ClaimError: for an invalid claim, with the nearest right spelling.
    """
    if len(line) > LONGEST:
        raise ClaimError(f"a claim is at most {LONGEST} characters long, this has {len(line)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's warnings on unknown escapes
            tree = ast.parse(line.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ClaimError(f"cannot read {shorten(line)}{where}: {EXAMPLE}") from error
    try:
        value = Parser(arms).visit(tree.body)
    except RecursionError as error:
        raise ClaimError(f"{shorten(line)} is nested too deeply: {EXAMPLE}") from error
    if not isinstance(value, Truths):
        raise ClaimError(
            f"{shorten(line)} is a number, not a claim: compare it, as in {shorten(line, '')} > 0"
        )
    if len(value.items) > 1:
        raise ClaimError(f"{shorten(line)} speaks of several arms: say all(...) or any(...)")
    return value.items[0]


def shorten(line: str, quote: str = "'") -> str:
    """A line for a message: quoted, without line breaks, shortened."""
    text = one_line(line.encode(errors="backslashreplace").decode()) if line.strip() else line.strip()
    return f"{quote}{text if len(text) <= 100 else text[:100] + '...'}{quote}"


class Parser:
    """Converts Python's syntax tree to expressions, and refuses anything that has no meaning in a claim."""

    def __init__(self, arms: Mapping[str, Arm]) -> None:
        self.arms = arms
        self.depth = 0
        self.families: dict[str, list[Arm]] = {}
        for arm in arms.values():
            if arm.family is not None:
                self.families.setdefault(arm.family, []).append(arm)

    def visit(self, node: ast.expr) -> Value:
        """Convert a node; a value that needs no measurement must be finite."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise RecursionError
        value = self.meaning(node)
        self.depth -= 1
        if not isinstance(value, Numbers):
            return value
        items = tuple(item if is_measured(item) else Constant(fold(item)) for item in value.items)
        for item in items:
            if isinstance(item, Constant) and not math.isfinite(item.value):
                raise ClaimError(f"{quoted(node)} comes to {item.value:g}; a finite number was expected")
        return Numbers(items, value.positions)

    def meaning(self, node: ast.expr) -> Value:
        """Convert a node without that check."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return Numbers((Constant(as_float(node.value, node)),), (0.0,))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = Constant(-1.0 if isinstance(node.op, ast.USub) else 1.0)
            return self.broadcast("*", Numbers((sign,), (0.0,)), self.numbers(node.operand), node)
        if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
            left, right = self.numbers(node.left), self.numbers(node.right)
            return self.broadcast(SIGNS[type(node.op)], left, right, node)
        if isinstance(node, ast.Subscript):
            return self.curves(node)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self.call(node.func.id, node.args, node)
        if isinstance(node, ast.Name):
            raise ClaimError(f"{node.id!r} alone means nothing: a metric is written {node.id}[arm]")
        raise ClaimError(f"{quoted(node)} has no meaning in a claim")

    # --------------------------------------------------------------- curves

    def curves(self, node: ast.Subscript) -> Curves:
        """``metric[arm]``."""
        if isinstance(node.value, ast.Name):
            metric = node.value.id
        elif isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            metric = node.value.value
        else:
            raise ClaimError(f"{quoted(node)}: expected metric[arm]")
        words = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        chosen = [arm for word in words for arm in self.chosen(word)]
        names = [arm.name for arm in chosen]
        if not names:
            raise ClaimError(f"{quoted(node)} names no arm: expected metric[arm]")
        if len(set(names)) < len(names):
            raise ClaimError(f"{quoted(node)} names an arm twice")
        values = [arm.value for arm in chosen]
        numeric = all(isinstance(value, int | float) for value in values)
        one_family = len({arm.family for arm in chosen}) == 1
        positions = values if one_family and numeric else range(len(chosen))
        return Curves(
            tuple(Curve(metric, name) for name in names), tuple(as_float(p, node) for p in positions)
        )

    def chosen(self, node: ast.expr) -> list[Arm]:
        """The arms in a subscript."""
        if isinstance(node, ast.Name):
            if node.id in self.arms:
                return [self.arms[node.id]]
            if node.id in self.families:
                return self.families[node.id]
            raise ClaimError(f"unknown arm {node.id!r}{nearest(node.id, [*self.arms, *self.families])}")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and len(node.args) == 1
            and not node.keywords
        ):
            family = node.func.id
            members = self.families.get(family)
            if members is None:
                raise ClaimError(f"unknown family of arms {family!r}{nearest(family, self.families)}")
            known = ", ".join(str(arm.value) for arm in members)
            try:
                value = ast.literal_eval(node.args[0])
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
                raise ClaimError(
                    f"{quoted(node)}: expected a value of the family (known: {known})"
                ) from error
            for arm in members:
                if arm.value == value:
                    return [arm]
            raise ClaimError(
                f"the family {family!r} has no value {shorten(repr(value), '')} (known: {known})"
            )
        raise ClaimError(f"{quoted(node)} is no arm: expected a name, or family(value)")

    # -------------------------------------------------------------- numbers

    def numbers(self, node: ast.expr) -> Numbers:
        """Convert a node that must be a number; a curve alone means its last value."""
        value = self.visit(node)
        if isinstance(value, Curves):
            return Numbers(tuple(Reduction("last", curve) for curve in value.items), value.positions)
        if isinstance(value, Truths):
            raise ClaimError(f"{quoted(node)} is true or false; a number was expected")
        return value

    def constant(self, node: ast.expr) -> float:
        """Convert a node that must be a literal number."""
        value = self.numbers(node)
        if len(value.items) > 1 or not isinstance(value.items[0], Constant):
            raise ClaimError(f"{quoted(node)}: expected a plain number")
        return value.items[0].value

    def broadcast(self, sign: str, left: Numbers, right: Numbers, node: ast.expr) -> Numbers:
        """Elementwise arithmetic over arms."""
        return Numbers(*self.pairwise(lambda a, b: Operation(sign, a, b), left, right, node))

    def pairwise(
        self, apply: Callable[[Expression, Expression], T], left: Numbers, right: Numbers, node: ast.expr
    ) -> tuple[tuple[T, ...], tuple[float, ...]]:
        """Apply a function to each pair, broadcasting a side with a single item."""
        n, m = len(left.items), len(right.items)
        if n != m and 1 not in (n, m):
            raise ClaimError(f"{quoted(node)} sets {n} arms against {m}")
        width = max(n, m)
        a = left.items * width if n == 1 else left.items
        b = right.items * width if m == 1 else right.items
        positions = left.positions if n >= m else right.positions
        return tuple(apply(x, y) for x, y in zip(a[:width], b[:width], strict=True)), positions

    # ------------------------------------------------------------ functions

    def call(self, name: str, nodes: list[ast.expr], whole: ast.expr) -> Value:
        """A function of a curve, of numbers, or of statements."""
        if name not in KNOWN:
            raise ClaimError(f"unknown function {name!r}{nearest(name, KNOWN)}")
        if not nodes:
            raise ClaimError(f"{name}() needs something to work on")
        if name in ("all", "any"):
            return Truths((self.quantified(name, nodes),))
        if name == "close":
            return self.close(nodes, whole)
        first = self.visit(nodes[0])
        if name in REDUCTIONS and isinstance(first, Curves):
            return self.reduction(name, first, nodes[1:])
        if name in AGGREGATES:
            items = tuple(item for node in nodes for item in self.numbers(node).items)
            return Numbers((Aggregate(name, self.several(items, name, whole)),), (0.0,))
        if name in REDUCTIONS:
            raise ClaimError(f"{quoted(whole)}: {name} is of a curve, metric[arm], not of a number")
        if len(nodes) > 1:
            raise ClaimError(f"{quoted(whole)}: {name} takes one argument")
        value = self.numbers(nodes[0])
        if name in FUNCTIONS:
            return Numbers(tuple(Function(name, item) for item in value.items), value.positions)
        self.several(value.items, name, whole)
        if name in RANKS:
            return Numbers((RankCorrelation(name, value.positions, value.items),), (0.0,))
        order = sorted(range(len(value.items)), key=lambda k: value.positions[k])
        steps = [compare(value.items[b], MONOTONE[name], value.items[a]) for a, b in pairwise(order)]
        return Truths((Quantified("all", tuple(steps)),))

    def several(self, items: tuple[Expression, ...], name: str, whole: ast.expr) -> tuple[Expression, ...]:
        """The items, which must be more than one."""
        if len(items) < 2:
            raise ClaimError(f"{quoted(whole)}: {name} needs several arms, this names one")
        return items

    def reduction(self, name: str, curves: Curves, nodes: list[ast.expr]) -> Numbers:
        """One number of each curve."""
        arguments = tuple(self.constant(node) for node in nodes)
        if len(arguments) not in REDUCTIONS[name]:
            wanted = {(0,): "no numbers", (1,): "1 number", (0, 2): "0 or 2 numbers"}[REDUCTIONS[name]]
            raise ClaimError(f"{name} takes {wanted} after the curve, not {len(arguments)}")
        if len(arguments) == 2 and not arguments[0] < arguments[1]:
            raise ClaimError(f"{name}: from must be before to, got {arguments[0]:g} and {arguments[1]:g}")
        if (name == "at" or len(arguments) == 2) and arguments[0] < 0:
            raise ClaimError(f"{name}: steps are counted from 0, got {arguments[0]:g}")
        if name.startswith("steps_"):
            check_level(name, curves, arguments[0])
        return Numbers(tuple(Reduction(name, curve, arguments) for curve in curves.items), curves.positions)

    # ----------------------------------------------------------- statements

    def truths(self, node: ast.expr) -> Truths:
        """Convert a node that must be true or false."""
        value = self.visit(node)
        if not isinstance(value, Truths):
            raise ClaimError(f"{quoted(node)} is a number; a comparison was expected")
        return value

    def quantified(self, kind: str, nodes: list[ast.expr]) -> Truth:
        """``all(...)`` and ``any(...)``."""
        parts = tuple(part for node in nodes for part in self.truths(node).items)
        return parts[0] if len(parts) == 1 else Quantified(kind, parts)

    def close(self, nodes: list[ast.expr], whole: ast.expr) -> Truths:
        """``close(a, b, tolerance)``: equal within a tolerance."""
        if len(nodes) != 3:
            raise ClaimError(f"{quoted(whole)}: expected close(number, number, tolerance)")
        tolerance = self.constant(nodes[2])
        if not tolerance > 0:
            raise ClaimError(f"close: the tolerance must be positive, got {tolerance:g}")
        difference = self.broadcast("-", self.numbers(nodes[0]), self.numbers(nodes[1]), whole)
        region = Region(-tolerance, tolerance)
        for item in difference.items:
            check_measures(item, whole)
        return Truths(tuple(Statement(item, region) for item in difference.items))

    def comparison(self, node: ast.Compare) -> Truths:
        """``a < b``, ``a < b < c``."""
        signs = []
        for operator in node.ops:
            if type(operator) not in COMPARISONS:
                raise ClaimError(
                    f"{quoted(node)}: expected <, <=, > or >=; equality is close(a, b, tolerance)"
                )
            signs.append(COMPARISONS[type(operator)])
        sides = [self.numbers(side) for side in (node.left, *node.comparators)]
        if len(sides) > 3:
            raise ClaimError(f"{quoted(node)} compares more than three numbers: use all(...)")
        if len(sides) == 3 and (between := self.between(sides, signs)) is not None:
            return between
        rows = []
        for left, sign, right in zip(sides, signs, sides[1:], strict=False):
            items, _ = self.pairwise(lambda a, b, sign=sign: compare(a, sign, b), left, right, node)  # type: ignore[misc]
            rows.append(items)
        if len(rows) == 1:
            return Truths(rows[0])
        width = max(map(len, rows))
        rows = [row * width if len(row) == 1 else row for row in rows]
        return Truths(tuple(Quantified("all", pair) for pair in zip(*rows, strict=True)))

    def between(self, sides: list[Numbers], signs: list[str]) -> Truths | None:
        """``0.4 < x < 0.6`` with plain numbers at both ends: one statement instead of two."""
        ends = [sides[0].items[0], sides[2].items[0]]
        if not all(isinstance(end, Constant) for end in ends) or signs[0][0] != signs[1][0]:
            return None
        low, high = (fold(end) for end in (ends if signs[0][0] == "<" else reversed(ends)))
        low_sign, high_sign = signs if signs[0][0] == "<" else reversed(signs)
        for item in sides[1].items:
            check_measures(item, None)
        if not low < high:
            raise ClaimError(f"nothing lies between {low:g} and {high:g}")
        region = Region(low, high, "=" not in low_sign, "=" not in high_sign)
        return Truths(tuple(Statement(item, region) for item in sides[1].items))


def compare(left: Expression, sign: str, right: Expression) -> Statement:
    """``left sign right`` as a quantity and its region."""
    if isinstance(left, Constant):
        left, right = right, left
        sign = {"<": ">", ">": "<"}[sign[0]] + sign[1:]
    quantity, bound = (
        (left, right.value) if isinstance(right, Constant) else (Operation("-", left, right), 0.0)
    )
    check_measures(quantity, None)
    is_open = "=" not in sign
    region = Region(high=bound, high_open=is_open) if sign[0] == "<" else Region(low=bound, low_open=is_open)
    ratio = isinstance(quantity, Operation) and quantity.sign == "/" and bound > 0
    return Statement(quantity, region, ratio)


def check_measures(quantity: Expression, node: ast.expr | None) -> None:
    """Raise ``ClaimError`` unless the quantity depends on a measurement."""
    if not is_measured(quantity):
        what = quoted(node) if node is not None else repr(str(quantity))
        raise ClaimError(f"{what} compares two plain numbers; one side must be measured, as metric[arm] is")


def is_measured(expression: Expression) -> bool:
    """Whether an expression depends on a measurement."""
    return any(True for _ in expression.leaves())


def check_level(name: str, curves: Curves, level: float) -> None:
    """Raise ``ClaimError`` for a level outside [0, 1] of an accuracy, such as a percentage."""
    for curve in curves.items:
        if curve.metric.partition("/")[0].endswith("accuracy") and not 0 <= level <= 1:
            raise ClaimError(f"{name}: an accuracy lies in [0, 1], and never gets to {level:g}")


def quoted(node: ast.expr) -> str:
    """The source of a node, in quotes."""
    return shorten(ast.unparse(node))


def as_float(value: object, node: ast.expr) -> float:
    """A Python number as a float."""
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError as error:
        raise ClaimError(
            f"{quoted(node)} has a number that is too large; at most 1.8e308 was expected"
        ) from error


def fold(expression: Expression) -> float:
    """The value of an expression without measurements."""

    def measure(reduction: Reduction) -> object:
        raise AssertionError(reduction)

    return expression.evaluate(measure).low  # type: ignore[arg-type]


assert set(SIGNS.values()) == set(OPERATIONS)
