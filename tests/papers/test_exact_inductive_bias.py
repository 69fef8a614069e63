"""Probabilities of small losses, against scipy, scikit-learn and chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from regrun.papers.exact_inductive_bias.quadratic_form import (
    QuadraticForm,
    fitted_log_below,
    posterior_error,
    sankaran,
)
from regrun.papers.exact_inductive_bias.study import KernelBias
from samples import unrecorded


@pytest.mark.parametrize("log10", [-0.5, -2, -8, -40])
def test_the_saddlepoint_is_right_far_into_the_tail(log10: float) -> None:
    """Equal scales make a scaled non-central chi-square, whose quantiles scipy knows."""
    n, scale = 30, 0.02
    shifts = np.full(n, 0.7)
    form = QuadraticForm(np.full(n, scale), shifts)
    level = 0.0
    low, high = 1e-9, form.mean
    for _ in range(200):  # the level with that probability
        level = math.sqrt(low * high)
        found = stats.ncx2.logcdf(level / scale, n, n * 0.49)
        low, high = (level, high) if found < log10 * math.log(10) else (low, level)
    expected = float(stats.ncx2.logcdf(level / scale, n, n * 0.49))
    assert form.log_below(level) == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert form.log_below(form.mean * 1.01) == 0


def test_the_saddlepoint_is_what_chance_does() -> None:
    rng = np.random.default_rng(0)
    form = QuadraticForm(rng.exponential(0.1, 8), rng.standard_normal(8))
    drawn = form.sample(200_000, rng)
    assert drawn.mean() == pytest.approx(form.mean, rel=0.02)
    for share in (0.01, 0.2):
        level = float(np.quantile(drawn, share))
        assert math.exp(form.log_below(level)) == pytest.approx(share, rel=0.05)


def test_the_posterior_is_that_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(0)
    x, x_test = rng.uniform(-1, 1, (20, 3)), rng.uniform(-1, 1, (10, 3))
    y, y_test = np.sin(x.sum(1)), np.sin(x_test.sum(1))
    form = posterior_error(x, y, x_test, y_test)
    theirs = GaussianProcessRegressor(RBF(1.0), alpha=1e-4, optimizer=None).fit(x, y)
    mean, covariance = theirs.predict(x_test, return_cov=True)
    expected = (np.trace(covariance) + ((mean - y_test) ** 2).sum()) / 10
    assert form.mean == pytest.approx(expected, rel=1e-4)


def test_the_fit_to_losses_has_their_distribution() -> None:
    rng = np.random.default_rng(0)
    losses = 0.01 * stats.ncx2.rvs(12, 20, size=2000, random_state=rng)
    level = float(np.quantile(losses, 0.05))
    assert math.exp(fitted_log_below(losses, level)) == pytest.approx(0.05, rel=0.2)
    for x in (5.0, 15.0):
        assert sankaran(x, 12, 20) == pytest.approx(stats.ncx2.logcdf(x, 12, 20), rel=0.05)


def test_smaller_errors_need_more_bits_and_draws_agree() -> None:
    found = KernelBias(dimension=3, samples=20, test_samples=20, error=0.03, draws=50_000)(unrecorded())  # type: ignore[arg-type]
    bits = [found[f"bias_bits_at/error={e:g}"] for e in KernelBias.ERRORS]
    assert bits == sorted(bits, reverse=True)
    assert bits[0] > bits[1] > 0
    assert found["bias_bits"] == bits[2]
    assert found["monte_carlo_ratio"] == pytest.approx(1, abs=0.15)  # of 500 draws
