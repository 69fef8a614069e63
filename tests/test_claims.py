from __future__ import annotations

import math
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from regrun.claims import Bounds, Claim, NotRunError, Reduction, Verdict, judge, read_claims
from regrun.claims.config import check_measured
from regrun.claims.curves import reduce_curve
from regrun.claims.expressions import Quantified, Statement
from regrun.claims.grammar import ClaimError, parse
from regrun.config.arms import Arm, read_arms
from regrun.errors import UserError
from regrun.report.figures import arms_figure, curves_figure, save
from regrun.report.page import interval_svg
from regrun.report.terminal import WIDTH, draw
from regrun.reproduction.curves import Headline, drawable, headline_curves
from regrun.reproduction.entry import claim_entry

ARMS = read_arms(
    {
        "a": [],
        "b": ["steps=3"],
        "width": {"values": [16, 64, 32], "overrides": ["model.hidden=[{}]"]},
        "name": {"values": ["x", "y"], "overrides": ["model={}"]},
    }
)


def value(line: str, **measured: float | Bounds) -> Bounds:
    """What the quantity of a claim comes to; ``m_a`` is what is measured of m[a]."""
    statement = parse(line, ARMS)
    assert isinstance(statement, Statement)

    def measure(leaf: Reduction) -> Bounds:
        found = measured[f"{leaf.curve.metric}_{leaf.curve.arm.replace('=', '')}"]
        return found if isinstance(found, Bounds) else Bounds.exact(found)

    return statement.quantity.evaluate(measure)


def test_a_family_is_an_arm_for_each_value() -> None:
    assert list(ARMS) == ["a", "b", "width=16", "width=64", "width=32", "name=x", "name=y"]
    assert ARMS["width=64"] == Arm("width=64", ("model.hidden=[64]",), "width", 64)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"a": "x=1"}, "arms.a: expected a list of overrides"),
        ({"a b": []}, "arms.a b: a name is letters"),
        ({"a": {"value": [1, 2], "overrides": ["x={}"]}}, "unknown key 'value'; did you mean 'values'"),
        ({"a": {"values": [1], "overrides": ["x={}"]}}, "at least two different values"),
        ({"a": {"values": [1, 2], "overrides": ["x=1"]}}, "{} must stand where the value goes"),
    ],
)
def test_a_wrong_arm_is_named(arms: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        read_arms(arms)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("m[a] - m[b] > 0", 2.0),
        ("m[a] + 2 * m[b] - 1 > 0", 7.0),
        ("(m[a] + 2) * m[b] - 1 > 0", 11.0),
        ("m[a] / m[b] / 2 > 0", 2 / 2 / 1),
        ("-m[a] > 0", -4.0),
        ("abs(m[b] - m[a]) > 0", 2.0),
        ("log(m[a]) > 0", math.log(4)),
        ("m[a] < m[b]", 2.0),
        ("min(last(m[a, b])) > 0", 2.0),
        ("max(last(m[a]), m[b], 2 * m[b]) > 0", 4.0),
        ("mean(last(m[a, b])) > 0", 3.0),
        ("0 < m[a] <= 5", 4.0),
        ("3 < m[a]", 4.0),
        ("close(m[a], 3, 0.5)", 1.0),
        ("m[a] - m[a] > 0", 0.0),
    ],
)
def test_arithmetic(line: str, expected: float) -> None:
    assert value(line, m_a=4, m_b=2) == Bounds.exact(expected)


@pytest.mark.parametrize(
    ("line", "inside", "outside"),
    [
        ("m[a] > 1", 1.1, 1.0),
        ("m[a] >= 1", 1.0, 0.9),
        ("m[a] < 1", 0.9, 1.0),
        ("1 >= m[a]", 1.0, 1.1),
        ("1 < m[a] <= 2", 2.0, 1.0),
        ("2 > m[a] >= 1", 1.0, 2.0),
        ("close(m[a], 0, 0.5)", -0.5, 0.6),
    ],
)
def test_regions(line: str, inside: float, outside: float) -> None:
    statement = parse(line, ARMS)
    assert isinstance(statement, Statement)
    assert statement.region.contains(inside, inside)
    assert not statement.region.contains(outside, outside)
    assert statement.region.excludes(outside, outside)
    assert not statement.region.excludes(min(inside, outside), max(inside, outside))


def test_rank_correlation_goes_by_the_values_of_the_family_not_their_order() -> None:
    measured = {"m_width16": 1.0, "m_width64": 3.0, "m_width32": 2.0}
    assert value("spearman(m[width]) > 0", **measured) == Bounds.exact(1.0)
    assert value("kendall(-m[width]) > 0", **measured) == Bounds.exact(-1.0)
    shuffled = {"m_width16": 1.0, "m_width64": 2.0, "m_width32": 3.0}
    expected = stats.spearmanr([16, 64, 32], [1, 2, 3]).statistic
    assert value("spearman(m[width]) > 0", **shuffled).low == pytest.approx(expected)
    never = {"m_width16": 1.0, "m_width64": Bounds.more_than(9), "m_width32": 5.0}
    assert value("spearman(m[width]) > 0", **never) == Bounds.exact(1.0)


def test_monotonicity_is_every_step_in_the_order_of_the_values() -> None:
    truth = parse("increasing(m[width])", ARMS)
    assert isinstance(truth, Quantified)
    assert [str(part.quantity) for part in truth.parts if isinstance(part, Statement)] == [
        "last(m[width=32]) - last(m[width=16])",
        "last(m[width=64]) - last(m[width=32])",
    ]


def test_what_is_said_of_several_arms_is_said_of_each() -> None:
    truth = parse("all(m[width] > m[a])", ARMS)
    assert isinstance(truth, Quantified)
    assert len(truth.parts) == 3
    chain = parse("m[a] < m[b] < m[width(16)]", ARMS)
    assert isinstance(chain, Quantified)
    assert chain.kind == "all"
    assert len(chain.parts) == 2
    either = parse("any(m[a] > 1, all(m[width] > 2))", ARMS)
    assert isinstance(either, Quantified)
    assert isinstance(either.parts[1], Quantified)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("m[aa] > 1", "unknown arm 'aa'; did you mean 'a'?"),
        ("m[widht] > 1", "unknown arm 'widht'; did you mean 'width'?"),
        ("m[width(17)] > 1", "the family 'width' has no value 17 (known: 16, 64, 32)"),
        ("lats(m[a]) > 1", "unknown function 'lats'; did you mean 'last'?"),
        ("m > 1", "a metric is written m[arm]"),
        ("m[a]", "is a number, not a claim"),
        ("m[width] > 1", "speaks of several arms: say all(...) or any(...)"),
        ("m[a, b] > m[width] ", "sets 2 arms against 3"),
        ("m[a] == 1", "equality is close(a, b, tolerance)"),
        ("steps_to(m[a]) > 1", "steps_to takes 1 number after the curve, not 0"),
        ("mean(m[a], 3, 2) > 1", "from must be before to"),
        ("steps_to(m[a] + 1, 2) > 1", "steps_to is of a curve"),
        ("1 < 2", "compares two plain numbers"),
        ("close(m[a], 1, 0)", "the tolerance must be positive"),
        ("2 < m[a] < 1", "nothing lies between"),
        ("m[a] >", "cannot read"),
        ("m[a, a] > 1", "names an arm twice"),
        ("all(m[a])", "a comparison was expected"),
        ("spearman(m[a]) > 1", "needs several arms"),
        ("m[a].real > 1", "has no meaning in a claim"),
        ("__import__('os').system('true') > 1", "has no meaning in a claim"),
        ("(lambda: 1)() > 1", "has no meaning in a claim"),
        ("[x for x in (1, 2)] > 1", "has no meaning in a claim"),
        ("last(m[a], key=1) > 1", "has no meaning in a claim"),
        ("m[a] > 'x'", "has no meaning in a claim"),
        ("m[a] ** 2 > 1", "has no meaning in a claim"),
        ("(" * 900 + "m[a]" + ")" * 900 + " > 1", "cannot read"),
        ("-" * 1900 + "m[a] > 1", ""),
    ],
)
def test_what_has_no_meaning_is_said(line: str, message: str) -> None:
    with pytest.raises(ClaimError) as error:
        parse(line, ARMS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="m[]a()<>=.,+-*/ 019lastx'\"\\:{}", max_size=30))
def test_nothing_but_a_claim_error_comes_of_any_text(line: str) -> None:
    with suppress(ClaimError):
        parse(line, ARMS)


def test_a_claim_s_own_mistakes_are_named() -> None:
    good = {"says": "x", "expect": "m[a] > 1"}
    (claim,) = read_claims({"c": good}, ARMS)
    assert claim.arms == ["a"]
    for wrong, message in [
        ({"says": "x"}, "claims.c.expect: expected a line of text"),
        (good | {"expects": "m[a] > 1"}, "claims.c: unknown key 'expects'; did you mean 'expect'?"),
        (good | {"expect": "m[q] > 1"}, "claims.c: unknown arm 'q'"),
    ]:
        with pytest.raises(UserError) as error:
            read_claims({"c": wrong}, ARMS)
        assert message in str(error.value)
    with pytest.raises(ClaimError, match="the arm a does not measure 'm'; did you mean 'mm'"):
        check_measured([claim], {"a": ["mm", "loss"]})
    parts = read_claims({"c": good | {"expect": 'last("m/first"[a]) > 1'}}, ARMS)
    check_measured(parts, {"a": ["m"]})


# ------------------------------------------------------------------- curves

STEPS = np.array([0.0, 10, 20, 40])
VALUES = np.array([0.1, 0.5, 0.3, 0.9])


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("last", (), 0.9),
        ("min", (), 0.1),
        ("max", (), 0.9),
        ("max", (5, 30), 0.5),
        ("mean", (10, 20), 0.4),
        ("at", (10,), 0.5),
        ("at", (39,), 0.3),
        ("at", (40,), 0.9),
        ("auc", (), (3 + 4 + 12) / 40),
        ("auc", (10, 20), 0.4),
        ("slope", (), np.polyfit(STEPS, VALUES, 1)[0]),
        ("slope", (0, 10), 0.04),
        ("steps_to", (0.5,), 10),
        ("steps_to", (0.05,), 0),
        ("steps_down_to", (0.1,), 0),
    ],
)
def test_reductions_of_a_curve(function: str, arguments: tuple[float, ...], expected: float) -> None:
    result = reduce_curve(function, arguments, STEPS, VALUES)
    assert result.is_exact
    assert result.low == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("at", (41,)), ("slope", (40, 60)), ("mean", (11, 19)), ("at", (-1,))],
)
def test_what_cannot_be_told_is_unknown(function: str, arguments: tuple[float, ...]) -> None:
    assert reduce_curve(function, arguments, STEPS, VALUES).is_unknown


def test_a_run_that_never_gets_there_took_more_than_its_budget() -> None:
    never = reduce_curve("steps_to", (0.95,), STEPS, VALUES)
    assert never.low > 40
    assert never.low == pytest.approx(40)
    assert never.high == math.inf
    assert reduce_curve("steps_to", (0.95,), STEPS, np.array([0, np.nan, 0, 0])).is_unknown
    assert reduce_curve("steps_to", (0.3,), STEPS, np.array([0, np.nan, 0.4, 0])) == Bounds.exact(20)


# ------------------------------------------------------------------- bounds

reals = st.floats(-1e3, 1e3)
intervals = st.tuples(reals, reals).map(lambda pair: Bounds(min(pair), max(pair)))


@given(intervals, intervals, st.floats(0, 1), st.floats(0, 1))
def test_bounds_enclose_every_result(a: Bounds, b: Bounds, s: float, t: float) -> None:
    x, y = a.low + s * (a.high - a.low), b.low + t * (b.high - b.low)
    for result, exact in [(a + b, x + y), (a - b, x - y), (a * b, x * y), (-a, -x), (abs(a), abs(x))]:
        assert result.low - 1e-6 <= exact <= result.high + 1e-6
    if not b.low <= 0 <= b.high and abs(y) > 1e-3:
        assert (a / b).low - 1e-6 <= x / y <= (a / b).high + 1e-6


def test_nothing_is_known_of_a_quotient_by_what_may_be_zero() -> None:
    assert Bounds.exact(1) / Bounds(-1, 1) == Bounds(-math.inf, math.inf)
    assert (Bounds.exact(1) / Bounds.exact(0)).is_unknown
    assert Bounds.exact(1) / Bounds(2, math.inf) == Bounds(0, 0.5)


# ----------------------------------------------------------------- verdicts


def verdict_of(line: str, values: dict[str, list[float | Bounds]], **claim: bool) -> Verdict:
    """The verdict on one claim, from the values of each arm's m."""
    (read,) = read_claims({"c": {"says": "x", "expect": line, **claim}}, ARMS)
    (judgement,) = judge([read], results(values), lambda _: len(next(iter(values.values()))))
    return judgement.verdict


def results(values: dict[str, list[float | Bounds]]):  # type: ignore[no-untyped-def]
    def measure(leaf: Reduction, seed: int) -> Bounds:
        if leaf.curve.arm not in values:
            raise NotRunError(f"{leaf.curve.arm} seed {seed} is not there")
        found = values[leaf.curve.arm][seed]
        return found if isinstance(found, Bounds) else Bounds.exact(found)

    return measure


NEVER = Bounds.more_than(100)


@pytest.mark.parametrize(
    ("line", "values", "expected"),
    [
        ("m[a] > 0", {"a": [1.0, 1.1, 1.2]}, Verdict.REPRODUCED),
        ("m[a] < 0", {"a": [1.0, 1.1, 1.2]}, Verdict.NOT_REPRODUCED),
        ("m[a] > 1", {"a": [1.0, 1.1, 1.2]}, Verdict.INCONCLUSIVE),
        ("m[a] > 0", {"a": [1.0, 1.1]}, Verdict.NOT_RUN),
        ("m[a] > m[b]", {"a": [1.0, 1.1, 1.2]}, Verdict.NOT_RUN),
        ("m[a] > 0", {"a": [1.0, math.nan, 1.2]}, Verdict.INCONCLUSIVE),
        ("m[a] > 0", {"a": [1.0, 1.0, 1.0]}, Verdict.REPRODUCED),
        ("m[a] > 1", {"a": [1.0, 1.0, 1.0]}, Verdict.NOT_REPRODUCED),
        # Paired: each seed's difference is clear, though the arms overlap.
        ("m[a] > m[b]", {"a": [1.0, 5.0, 9.0], "b": [0.5, 4.4, 8.5]}, Verdict.REPRODUCED),
        # Never getting there is more than the budget, not missing.
        ("m[a] > 50", {"a": [NEVER, NEVER, NEVER]}, Verdict.REPRODUCED),
        ("m[a] > 100", {"a": [NEVER, NEVER, NEVER]}, Verdict.REPRODUCED),
        ("m[a] > 101", {"a": [NEVER, NEVER, NEVER]}, Verdict.INCONCLUSIVE),
        ("m[a] < 101", {"a": [NEVER, NEVER, NEVER]}, Verdict.INCONCLUSIVE),
        ("m[a] < 100", {"a": [NEVER, NEVER, NEVER]}, Verdict.NOT_REPRODUCED),
        ("m[b] < m[a]", {"a": [NEVER, NEVER, NEVER], "b": [10.0, 12.0, 14.0]}, Verdict.REPRODUCED),
        ("m[b] > m[a]", {"a": [NEVER, NEVER, NEVER], "b": [10.0, 12.0, 14.0]}, Verdict.NOT_REPRODUCED),
        ("m[b] < m[a]", {"a": [NEVER, NEVER, NEVER], "b": [NEVER, NEVER, NEVER]}, Verdict.INCONCLUSIVE),
        # One of three gets there late: the spread decides.
        ("m[a] < 50", {"a": [10.0, 12.0, NEVER]}, Verdict.INCONCLUSIVE),
        # A budget of its own does not make an arm fast.
        ("m[a] < m[b]", {"a": [NEVER] * 3, "b": [2000.0, 2010.0, 2020.0]}, Verdict.INCONCLUSIVE),
        ("close(m[a], 1, 0.5)", {"a": [1.0, 1.1, 1.2]}, Verdict.REPRODUCED),
        ("close(m[a], 3, 0.5)", {"a": [1.0, 1.1, 1.2]}, Verdict.NOT_REPRODUCED),
        ("all(m[a, b] > 0)", {"a": [1.0, 1.1, 1.2], "b": [1.0, 1.1, 1.2]}, Verdict.REPRODUCED),
        ("all(m[a, b] > 0)", {"a": [1.0, 1.1, 1.2], "b": [-1.0, -1.01, -1.02]}, Verdict.NOT_REPRODUCED),
        ("any(m[a, b] > 0)", {"a": [1.0, 1.01, 1.02], "b": [-1.0, -1.1, -1.2]}, Verdict.REPRODUCED),
        ("any(m[a, b] > 0)", {"a": [-1.0, 1.1, 1.2], "b": [-1.0, -1.1, -1.2]}, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(line: str, values: dict[str, list[float | Bounds]], expected: Verdict) -> None:
    assert verdict_of(line, values) is expected


def test_a_deterministic_claim_is_for_every_seed() -> None:
    # The mean is well below, one seed is not.
    values: dict[str, list[float | Bounds]] = {"a": [0.0, 0.0, 0.0, 0.0, 1.1]}
    assert verdict_of("m[a] < 1", values, deterministic=True) is Verdict.NOT_REPRODUCED
    assert verdict_of("m[a] < 2", values, deterministic=True) is Verdict.REPRODUCED
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] < 2", "deterministic": True}}, ARMS)
    (judgement,) = judge([claim], results(values), lambda _: 5)
    assert judgement.p is None
    assert judgement.parts[0].interval == (0.0, 1.1)


def test_a_ratio_is_judged_on_the_log_scale() -> None:
    values: dict[str, list[float | Bounds]] = {"a": [1.0, 2.0, 4.0], "b": [2.0, 2.0, 2.0]}
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] / m[b] < 10"}}, ARMS)
    (judgement,) = judge([claim], results(values), lambda _: 3)
    (part,) = judgement.parts
    assert part.method == "t, log scale"
    assert part.estimate.low == pytest.approx(1.0)  # geometric: 0.5, 1, 2
    low, high = part.interval
    assert low * high == pytest.approx(1.0)
    expected = stats.t.interval(0.95, 2, 0, math.log(2) / math.sqrt(3))
    assert (low, high) == pytest.approx(tuple(map(math.exp, expected)))


def test_the_p_value_is_the_t_test_s() -> None:
    values: dict[str, list[float | Bounds]] = {"a": [1.4, 1.1, 1.9, 1.6]}
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] > 1"}}, ARMS)
    (judgement,) = judge([claim], results(values), lambda _: 4)
    assert judgement.p == pytest.approx(stats.ttest_1samp([1.4, 1.1, 1.9, 1.6], 1).pvalue, rel=2e-3)


def test_holm_is_over_all_claims_and_looks_share_the_error() -> None:
    values: dict[str, list[float | Bounds]] = {"a": [1.4, 1.1, 1.9, 1.6]}
    lines = {f"c{k}": {"says": "x", "expect": f"m[a] > {k / 4}"} for k in range(4)}
    claims: list[Claim] = read_claims(lines, ARMS)
    once = judge(claims, results(values), lambda _: 4)
    order = sorted(once, key=lambda j: j.p or 0)
    for rank, judgement in enumerate(order):
        assert judgement.p_holm is not None
        assert judgement.p is not None
        assert judgement.p_holm >= min(1, (4 - rank) * judgement.p) - 1e-12
    often = judge(claims, results(values), lambda _: 4, looks=3)
    for one, three in zip(once, often, strict=True):
        assert one.p is not None
        assert three.p == pytest.approx(min(1, 3 * one.p), rel=1e-2)
        (a,), (b,) = one.parts, three.parts
        assert b.interval[0] < a.interval[0] < a.interval[1] < b.interval[1]


# ------------------------------------------------------------------- fuzzing

ATOMS = [
    *(
        "m[a]",
        "m[a, b]",
        "m[width]",
        "m[width(16)]",
        "m[width(1+1)]",
        "m[name('x')]",
        "m[name(x)]",
        '"m/p"[a]',
    ),
    *("m[()]", "m[a(__import__('os'))]", "m[a:b]", "m[a][b]", "m", "1", "1e308", "1e999", "9" * 900, "0x1f"),
    *("1j", "True", "None", "...", "'x'", "f'{m}'", "[1]", "(1, 2)", "lambda: 1", "-m[a]", "not m[a]", "~1"),
]
FORMS = [
    *("{} > {}", "{} <= {} < {}", "{} == {}", "{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} ** {}", "({})"),
    *(
        "last({})",
        "at({}, {})",
        "steps_to({}, {})",
        "mean({}, {}, {})",
        "slope({})",
        "diverges({})",
        "min({})",
    ),
    *("max({}, {})", "abs({})", "log({})", "spearman({})", "kendall({})", "all({})", "any({}, {})", "-{}"),
    *("close({}, {}, {})", "increasing({})", "f({})", "{}[a]", "m[{}]", "m[width({})]", "{}; {}", "{}\n{}"),
]
lines = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.tuples(st.sampled_from(FORMS), inner, inner, inner).map(
        lambda drawn: drawn[0].format(*drawn[1:])
    ),
    max_leaves=12,
)
GOOD = [
    "({} + {})",
    "({} - {})",
    "{} * {}",
    "{} / {}",
    "-{}",
    "abs({})",
    "log({})",
    "min({}, {})",
    "mean({}, {})",
]
good = st.recursive(
    st.sampled_from(
        ["m[a]", "last(m[b])", "max(m[width(16)], 0, 9)", "diverges(m[a])", "1e308", "1e-320", "3"]
    ),
    lambda inner: st.tuples(st.sampled_from(GOOD), inner, inner).map(
        lambda drawn: drawn[0].format(*drawn[1:])
    ),
    max_leaves=5,
)
TRUE = [
    "{} > {}",
    "{} <= 1e308",
    "-1e308 < {} < 1e308",
    "close({}, {}, 1e300)",
    "all({} > {}, m[a] < 1e-300)",
]
claims = st.tuples(st.sampled_from([*TRUE, "any({} < {}, m[b] >= 1e307)"]), good, good).map(
    lambda drawn: drawn[0].format(*drawn[1:])
)
sizes = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([1e308, -1e308, 5e-324, 0.0, math.inf])
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(claims, lines, st.text(max_size=40)), st.lists(sizes, min_size=6, max_size=6), st.booleans())
def test_any_line_and_any_numbers_give_a_verdict_or_one_line(
    line: str, numbers: list[float], deterministic: bool
) -> None:
    refused = ""
    try:
        (claim,) = read_claims({"c": {"says": "x", "expect": line, "deterministic": deterministic}}, ARMS)
    except UserError as error:
        refused = str(error)
    if refused:
        assert refused.startswith("claims.c: ")
        assert "\n" not in refused
        assert len(refused) < 500
        return
    assert claim.measured
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (judgement,) = judge(
            [claim], lambda leaf, k: Bounds.exact(numbers[(k + len(str(leaf))) % 6]), lambda _: 3
        )
        for comparison in claim_entry(judgement).comparisons:
            assert len(draw(comparison)) == WIDTH
            interval_svg(comparison)


BOMBS = [
    "(" * 5000 + "m[a]" + ")" * 5000 + " > 1",
    "m[a] > " + "-" * 1900 + "1",
    "abs(" * 380 + "m[a]" + ")" * 380 + " > 1",
    "m[a] > 1" + " + 1" * 400,
    "all(" * 300 + "m[a] > 1" + ")" * 300,
    "m" + "[a]" * 600,
    "[" * 900,
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:12])
def test_a_line_without_end_is_refused_in_one_line(bomb: str) -> None:
    with pytest.raises(ClaimError) as error:
        parse(bomb, ARMS)
    assert len(str(error.value)) < 500
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "cannot read '': a claim is a comparison, such as last(test_accuracy[arm]) > 0.9"),
        ("m[width(1+1)] > 1", "'width(1 + 1)': expected a value of the family (known: 16, 64, 32)"),
        ("m[width(a+b)] > 1", "'width(a + b)': expected a value of the family (known: 16, 64, 32)"),
        ("m[name(x)] > 1", "'name(x)': expected a value of the family (known: x, y)"),
        ("m[width(16, q=1)] > 1", "is no arm: expected a name, or family(value)"),
        ("m[a(__import__('os'))] > 1", "unknown family of arms 'a'"),
        ("m[width(__import__('os'))] > 1", "expected a value of the family (known: 16, 64, 32)"),
        ("m[()] > 1", "names no arm: expected metric[arm]"),
        ("m[a] > " + "9" * 900, "at most 1.8e308 was expected"),
        ("m[a] > 1e999", "'1e309' comes to inf; a finite number was expected"),
        ("m[a] > 1e308 * 10", "comes to inf; a finite number was expected"),
        ("m[a] > 1 / 0", "comes to nan; a finite number was expected"),
        ("m[a] > log(0)", "comes to -inf; a finite number was expected"),
        ("0 < 1 < 2", "compares two plain numbers"),
        ("at(m[a], -1) > 0", "at: steps are counted from 0, got -1"),
        ("mean(m[a], -5, 5) > 0", "mean: steps are counted from 0, got -5"),
        ("steps_to(test_accuracy[a], 99) < 5", "an accuracy lies in [0, 1], and never gets to 99"),
        ("steps_down_to('accuracy/0'[a], -0.1) < 5", "an accuracy lies in [0, 1], and never gets to -0.1"),
        ("diverges(m[a], 3) >= 1", "diverges takes no numbers after the curve, not 1"),
        ("diverges(m[a] + 1) >= 1", "diverges is of a curve"),
    ],
)
def test_what_was_expected_is_said(line: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(line, ARMS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


# ------------------------------------------- numbers at the ends of what a float holds


@pytest.mark.parametrize("size", [1e308, 1.0, 1e-300])
def test_numbers_of_any_size_are_judged_alike(size: float) -> None:
    values: dict[str, list[float | Bounds]] = {"a": [1.0 * size, 1.1 * size, 1.2 * size]}
    (claim,) = read_claims({"c": {"says": "x", "expect": f"m[a] > {size / 2!r}"}}, ARMS)
    (judgement,) = judge([claim], results(values), lambda _: 3)
    (part,) = judgement.parts
    assert judgement.verdict is Verdict.REPRODUCED
    assert part.estimate.low == pytest.approx(1.1 * size)
    expected = stats.t.interval(0.95, 2, 1.1, 0.1 / math.sqrt(3))
    assert [end / size for end in part.interval] == pytest.approx(expected)
    assert judgement.p == pytest.approx(stats.ttest_1samp([1.0, 1.1, 1.2], 0.5).pvalue, rel=2e-3)


def test_a_ratio_and_a_curve_of_any_size() -> None:
    values: dict[str, list[float | Bounds]] = {"a": [1e308, 1.1e308, 1.2e308], "b": [1.0, 1.0, 1.0]}
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] / m[b] > 1"}}, ARMS)
    (judgement,) = judge([claim], results(values), lambda _: 3)
    low, high = judgement.parts[0].interval
    reach = stats.t.ppf(0.975, 2) * np.log([1, 1.1, 1.2]).std(ddof=1) / math.sqrt(3)
    middle = np.log([1, 1.1, 1.2]).mean()
    assert (low / 1e308, high / 1e308) == pytest.approx((math.exp(middle - reach), math.exp(middle + reach)))
    huge = VALUES * 1.7e308
    assert reduce_curve("mean", (), STEPS, huge).low / 1.7e308 == pytest.approx(VALUES.mean())
    assert reduce_curve("auc", (), STEPS, huge).low / 1.7e308 == pytest.approx(19 / 40)
    slope = reduce_curve("slope", (), STEPS, huge).low / 1.7e308
    assert slope == pytest.approx(np.polyfit(STEPS, VALUES, 1)[0])


@pytest.mark.parametrize(
    ("line", "values", "expected"),
    [
        ("m[a] > 1", [math.inf] * 3, Verdict.REPRODUCED),
        ("m[a] < 1", [math.inf] * 3, Verdict.NOT_REPRODUCED),
        ("m[a] > 1", [-math.inf] * 3, Verdict.NOT_REPRODUCED),
        ("m[a] > 1", [math.inf, 2.0, 3.0], Verdict.INCONCLUSIVE),
        ("m[a] > 1", [math.inf, -math.inf, 3.0], Verdict.INCONCLUSIVE),
        ("m[a] - m[b] > 1", [math.inf] * 3, Verdict.INCONCLUSIVE),
        ("m[a] * m[a] > 1", [1e300] * 3, Verdict.REPRODUCED),
        ("m[a] > 1", [1e308, -1e308, 1e308], Verdict.INCONCLUSIVE),
    ],
)
def test_what_is_infinite_is_judged(line: str, values: list[float | Bounds], expected: Verdict) -> None:
    assert verdict_of(line, {"a": values, "b": values}) is expected


def test_steps_that_no_run_has_are_named() -> None:
    (claim,) = read_claims({"c": {"says": "x", "expect": "at(m[a], 5000) > 1"}}, ARMS)
    (judgement,) = judge(
        [claim], lambda leaf, k: reduce_curve("at", leaf.arguments, STEPS, VALUES), lambda _: 3
    )
    assert judgement.verdict is Verdict.INCONCLUSIVE
    words = "at(m[a], 5000) has no value for seeds 0, 1 and 2: it is nan, or these steps were not evaluated"
    assert judgement.why == words


def test_a_claim_s_other_keys_are_checked() -> None:
    good = {"says": "x", "expect": "m[a] > 1"}
    for wrong, message in [
        ({"paper": ["0.5"]}, "claims.c.paper: expected the paper's figures by name, got ['0.5']"),
        ({"deterministic": "no"}, "claims.c.deterministic: expected true or false, got 'no'"),
    ]:
        with pytest.raises(UserError) as error:
            read_claims({"c": good | wrong}, ARMS)
        assert str(error.value) == message


@pytest.mark.parametrize("size", [1e308, -1e308, 1e151, math.inf, math.nan])
@pytest.mark.parametrize("other", [1.0, -1e308, 5e307])
def test_figures_are_drawn_of_numbers_of_any_size(size: float, other: float) -> None:
    values = drawable(np.array([[1.0, 2.0, size, other], [1.0, 2.0, 3.0, 4.0]]))
    bands = {"m": {"a": (np.arange(4.0), values)}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curves = headline_curves(bands, Headline())
        assert curves is not None
        for canvas in (
            curves_figure(curves, {"a": "#000000"}, 1, 2.0),
            arms_figure(["m"], bands, {"a": "#000000"}, {"a": [0]}),
        ):
            assert "<svg" in save("x", "", "", canvas).svg
    assert "a (1 diverged)" in save("x", "", "", canvas).svg
    assert np.isnan(values[0, 2])
