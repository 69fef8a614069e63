"""The statistics against simulated data of which the truth is known."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from regrun.claims import Bounds, Verdict, judge, read_claims
from regrun.claims.statistics import holm, mean_interval, ratio_interval, seeds_needed, smallest_alpha
from regrun.config.arms import read_arms

ARMS = read_arms({"a": [], "b": []})


def covered(draw, n: int, truth: float, trials: int, interval=mean_interval) -> int:  # type: ignore[no-untyped-def]
    """In how many of many experiments of n seeds the interval holds the truth."""
    hits = 0
    for _ in range(trials):
        low, high = interval(draw(n))(0.95)
        hits += low <= truth <= high
    return hits


def is_95_percent(hits: int, trials: int) -> bool:
    """Whether a count is within what chance makes of 95 %: 99.9 % of the time it is."""
    low, high = stats.binom.interval(0.999, trials, 0.95)
    return bool(low <= hits <= high)


@pytest.mark.parametrize(("n", "trials"), [(3, 4000), (5, 4000), (9, 4000), (10, 600), (15, 600), (30, 400)])
def test_the_interval_covers_the_mean_of_normal_seeds(n: int, trials: int) -> None:
    rng = np.random.default_rng(n)
    hits = covered(lambda k: rng.normal(2.0, 3.0, k).tolist(), n, 2.0, trials)
    assert is_95_percent(hits, trials), hits / trials


def test_the_interval_of_a_ratio_covers_the_geometric_mean_of_log_normal_seeds() -> None:
    rng = np.random.default_rng(0)
    hits = covered(lambda k: rng.lognormal(0.5, 0.7, k).tolist(), 5, math.exp(0.5), 4000, ratio_interval)
    assert is_95_percent(hits, 4000), hits / 4000


def test_an_unexpanded_bootstrap_would_not_do() -> None:
    """Why the level is expanded: plain BCa covers too little at ten seeds."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(600):
        x = rng.normal(0, 1, 10)
        ends = stats.bootstrap((x,), np.mean, n_resamples=1999, method="BCa", rng=rng).confidence_interval
        hits += ends.low <= 0 <= ends.high
    assert hits / 600 < 0.94


@pytest.mark.parametrize(("n", "trials"), [(3, 2000), (5, 2000), (10, 300)])
def test_at_the_margin_a_claim_is_falsely_reproduced_in_at_most_5_percent(n: int, trials: int) -> None:
    """The truth lies exactly on the margin, where a false verdict is most likely."""
    rng = np.random.default_rng(n)
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] - m[b] > 0.3"}}, ARMS)
    falsely = 0
    for _ in range(trials):
        shared = rng.normal(0, 1, n)
        table = {"a": 0.3 + shared + rng.normal(0, 0.2, n), "b": shared + rng.normal(0, 0.2, n)}
        (judgement,) = judge([claim], lambda leaf, k: Bounds.exact(table[leaf.curve.arm][k]), lambda _: n)  # noqa: B023
        falsely += judgement.verdict is Verdict.REPRODUCED
    assert stats.binomtest(falsely, trials, 0.05, alternative="greater").pvalue > 0.001, falsely / trials
    # Two-sided at 5 %, so 2.5 % on this side; a test that never said "reproduced" would be no test.
    assert falsely > 0


def test_adding_seeds_until_decided_keeps_the_error() -> None:
    """Three looks at a truth on the margin: either verdict is false, and together they stay below 5 %."""
    rng = np.random.default_rng(3)
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] > 0"}}, ARMS)
    trials, falsely = 800, 0
    for _ in range(trials):
        x = rng.normal(0, 1, 9)
        for n in (3, 6, 9):
            (judgement,) = judge([claim], lambda leaf, k: Bounds.exact(x[k]), lambda _: n, looks=3)  # noqa: B023
            if judgement.verdict is not Verdict.INCONCLUSIVE:
                falsely += 1
                break
    assert stats.binomtest(falsely, trials, 0.05, alternative="greater").pvalue > 0.001, falsely / trials
    assert falsely > 0


def test_pairing_by_seed_decides_more_than_comparing_the_arms() -> None:
    rng = np.random.default_rng(5)
    (claim,) = read_claims({"c": {"says": "x", "expect": "m[a] > m[b]"}}, ARMS)
    paired = unpaired = 0
    for _ in range(500):
        shared = rng.normal(0, 1, 5)
        table = {"a": 0.5 + shared + rng.normal(0, 0.2, 5), "b": shared + rng.normal(0, 0.2, 5)}
        (judgement,) = judge([claim], lambda leaf, k: Bounds.exact(table[leaf.curve.arm][k]), lambda _: 5)  # noqa: B023
        paired += judgement.verdict is Verdict.REPRODUCED
        unpaired += stats.ttest_ind(table["a"], table["b"]).confidence_interval(0.95).low > 0
    assert paired > 300
    assert unpaired < 100


def test_few_seeds_get_the_t_interval_and_more_the_bootstrap() -> None:
    x = [0.3, 0.9, 0.4, 0.7]
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert mean_interval(x)(0.95) == pytest.approx((expected.low, expected.high))
    skewed = np.random.default_rng(0).exponential(1, 40)
    low, high = mean_interval(skewed.tolist())(0.95)
    assert high - skewed.mean() > skewed.mean() - low  # BCa follows the skew, t does not
    assert mean_interval([2.0])(0.95) == (-math.inf, math.inf)
    assert mean_interval([0.1] * 3)(0.95) == (0.1, 0.1)
    assert mean_interval([0.1] * 12)(0.95) == (0.1, 0.1)


def test_intervals_are_the_same_every_time_and_nested() -> None:
    x = np.random.default_rng(0).normal(0, 1, 12).tolist()
    assert mean_interval(x)(0.95) == mean_interval(x)(0.95)
    interval = mean_interval(x)
    ends = [interval(level) for level in (0.5, 0.9, 0.95, 0.99, 0.999)]
    assert all(b[0] <= a[0] and a[1] <= b[1] for a, b in pairwise(ends))


def test_holm_s_correction() -> None:
    # Worked by hand: sorted .01 .02 .03 .04 times 4 3 2 1, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_smallest_alpha() -> None:
    assert smallest_alpha(lambda alpha: alpha >= 0.0137) == pytest.approx(0.0137, rel=2e-3)
    assert smallest_alpha(lambda alpha: True) == 0.0
    assert smallest_alpha(lambda alpha: False) == 1.0


@pytest.mark.parametrize(("effect", "expected"), [(0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_is_the_textbook_s_sample_size(effect: float, expected: int) -> None:
    """One-sample t test, two-sided 5 %, power 80 %: G*Power's figures."""
    x = np.array([-1.0, 0.0, 1.0])  # standard deviation 1
    assert seeds_needed((x + effect).tolist(), 0.0) == expected


def test_no_number_of_seeds_decides_what_lies_on_the_margin() -> None:
    assert seeds_needed([-1.0, 0.0, 1.0], 0.0) is None


def test_a_higher_level_never_narrows_the_interval() -> None:
    # Of skewed values the accelerated quantiles turn round, far out.
    levels = [0.5, 0.9, 0.95, 0.99, 0.999, 1 - 1e-5, 1 - 1e-7, 1 - 1e-9, 1 - 1e-11]
    for values in ([0.0] * 11 + [1.0], [1.0] * 11 + [0.0], np.exp(2 * np.arange(12.0)).tolist()):
        ends = [mean_interval(values)(level) for level in levels]
        for (a, b), (c, d) in pairwise(ends):
            assert c <= a <= b <= d
        assert ends[-1][0] >= min(values)
        assert ends[-1][1] <= max(values)


def test_one_seed_that_differs_is_not_certainty() -> None:
    claim = read_claims({"c": {"says": "x", "expect": "m[a] < 0.5"}}, ARMS)[0]
    values = [0.0] * 11 + [1.0]
    (judgement,) = judge([claim], lambda leaf, k: Bounds.exact(values[k]), lambda _: 12)
    assert judgement.verdict is Verdict.REPRODUCED
    assert judgement.p is not None
    assert judgement.p > 0.001  # 0 where the quantiles turn round


def test_seeds_that_differ_by_a_rounding_have_an_interval() -> None:
    low, high = mean_interval([1.0] * 11 + [1.0 + 2**-52])(0.95)
    assert low == pytest.approx(1, abs=1e-15)
    assert high == pytest.approx(1, abs=1e-15)
