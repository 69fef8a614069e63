"""Conformal prediction, calibrated regression and limits of teaching, against theory and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import QuantileRegressor

from regrun.measures.mixture import GaussianMixture
from regrun.papers.knowledge_transfer_limits import (
    LEARNERS,
    draw,
    fit_gap,
    hard_instance,
    normalized,
    total_variation,
)
from regrun.papers.lr_qr import (
    Shift,
    fit_threshold,
    gaussian_shift,
    lr_qr_objective,
    split_threshold,
    weighted_thresholds,
)
from regrun.papers.regression_calibration import (
    LEVELS,
    CalibratedRegression,
    calibration_error,
    conformal_gap,
    ecdf,
    friedman,
    parts_of,
)

# ------------------------------------------------------------------ conformal prediction


def test_without_a_penalty_the_threshold_is_scikit_learns_quantile_regression() -> None:
    shift = gaussian_shift(0, dimensions=4, labelled=200)
    theta = fit_threshold(shift, 0.0, 0.1)
    model = QuantileRegressor(quantile=0.9, alpha=0, fit_intercept=False).fit(
        shift.x.numpy(), shift.score.numpy()
    )
    theirs = torch.from_numpy(model.coef_)
    ours, best = (float(lr_qr_objective(t, shift, 0.0, 0.1, 1e-9)) for t in (theta, theirs))
    assert ours == pytest.approx(best, abs=1e-4)
    torch.testing.assert_close(theta, theirs, atol=0.05, rtol=0)


def test_the_penalty_is_its_minimum_over_the_scale() -> None:
    shift = gaussian_shift(1, dimensions=4, labelled=50)
    theta = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h_source, h_target = shift.source @ theta, shift.target @ theta
    b = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    bracket = (b.square() * h_source.square().mean() - 2 * b * h_target.mean()).min()
    plain = lr_qr_objective(theta, shift, 0.0, 0.1, 1e-6)
    torch.testing.assert_close(
        lr_qr_objective(theta, shift, 0.7, 0.1, 1e-6), plain + 0.7 * bracket, atol=1e-6, rtol=0
    )


def test_split_conformal_prediction_covers_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    hits = []
    for _ in range(4000):
        score = torch.rand(20, generator=generator)
        hits.append(float(score[-1]) <= split_threshold(score[:-1], 0.1))
    assert sum(hits) / len(hits) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4000))  # 18 of 20, exactly
    assert split_threshold(torch.rand(8), 0.1) == math.inf


def test_without_a_shift_all_weights_are_equal() -> None:
    shift = gaussian_shift(0, dimensions=2, labelled=300)
    same = Shift(shift.x, shift.score, shift.source, shift.source, shift.source, shift.score_test[:2000])
    expected = torch.full((len(same.x_test),), split_threshold(shift.score, 0.1), dtype=torch.float64)
    torch.testing.assert_close(weighted_thresholds(same, 0.1), expected)


# -------------------------------------------------------------------- calibrated regression


def mixture(n: int = 6, components: int = 3) -> GaussianMixture:
    generator = torch.Generator().manual_seed(0)
    weight, mean, std = torch.randn(3, n, components, generator=generator, dtype=torch.float64)
    return GaussianMixture(weight.log_softmax(1), 2 * mean, std.exp())


def test_the_score_of_a_mixture_is_the_integral_that_defines_it() -> None:
    found = mixture()
    y = torch.linspace(-3, 3, 6, dtype=torch.float64)
    grid = torch.linspace(-80, 80, 80_001, dtype=torch.float64)
    for k in range(6):
        row = GaussianMixture(*(part[k : k + 1].expand(len(grid), -1) for part in vars(found).values()))
        cdf = row.cdf(grid)
        expected = torch.trapezoid((cdf - (grid >= y[k]).double()).square(), grid)
        assert float(found.crps(y)[k]) == pytest.approx(float(expected), abs=2e-3)
        density = row.log_density(grid).exp()
        assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-6)
        mean = torch.trapezoid(density * grid, grid)
        variance = torch.trapezoid(density * (grid - mean).square(), grid)
        assert float(found.deviation()[k]) == pytest.approx(float(variance.sqrt()), abs=1e-5)


def test_quantiles_invert_the_distribution() -> None:
    found = mixture()
    for level in (0.01, 0.5, 0.9):
        torch.testing.assert_close(found.cdf(found.quantile(level)), torch.full((6,), level).double())
    one = GaussianMixture(
        torch.zeros(1, 1).double(), torch.ones(1, 1).double(), 2 * torch.ones(1, 1).double()
    )
    assert float(one.quantile(0.3)) == pytest.approx(norm.ppf(0.3, 1, 2))


def test_the_calibration_error_of_perfect_predictions_is_its_floor() -> None:
    generator = torch.Generator().manual_seed(0)
    errors = [
        float(calibration_error(torch.rand(400, generator=generator, dtype=torch.float64)))
        for _ in range(300)
    ]
    assert sum(errors) / len(errors) == pytest.approx(0.31 / 20, rel=0.1)
    assert float(calibration_error(LEVELS)) < 1e-2
    assert float(calibration_error(torch.zeros(50, dtype=torch.float64))) == pytest.approx(0.5)


def test_recalibrated_quantiles_are_conformal() -> None:
    seen = torch.rand(57, generator=torch.Generator().manual_seed(1), dtype=torch.float64).sort().values
    assert conformal_gap(mixture(), seen) < 1e-9
    z = torch.tensor([0.0, float(seen[3]), 1.0], dtype=torch.float64)
    torch.testing.assert_close(ecdf(seen, z), torch.tensor([0.0, 4 / 58, 57 / 58], dtype=torch.float64))


def test_the_parts_are_disjoint_and_standardized_by_the_first() -> None:
    x, y = friedman(0)
    parts = parts_of(x, y, 0)
    assert [len(part.y) for part in parts] == [600, 150, 300, 450]
    torch.testing.assert_close(parts[0].x.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(parts[0].y.std(), torch.tensor(1.0))
    rows = torch.cat([part.y for part in parts]).double()
    assert len(rows.unique()) == len(y)


def test_the_penalty_is_the_smooth_calibration_error() -> None:
    regression = CalibratedRegression(friedman, [0.0, 2.0], sharpness=1e6)
    found, y = mixture(200), torch.randn(200, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gap = regression.objective(found, y, 2.0) - regression.objective(found, y, 0.0)
    assert float(gap) == pytest.approx(2 * float(calibration_error(found.cdf(y))), abs=1e-6)


# ------------------------------------------------------------------------ limits of teaching


def test_every_learner_gives_distributions_and_full_teaching_is_exact_where_something_was_seen() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.dirichlet(np.ones(5), 4)
    counts = draw(rng, np.full(4, 0.25), teacher, 6, 50)
    assert counts.sum() == 300
    for name, learn in LEARNERS.items():
        p = learn(counts, teacher)
        np.testing.assert_allclose(p.sum(-1), 1)
        assert (p >= 0).all()
        unseen = counts.sum(-1) == 0
        np.testing.assert_allclose(p[unseen], 0.2)
        if name == "full":
            np.testing.assert_allclose(p[~unseen], np.broadcast_to(teacher, p.shape)[~unseen])
        if name == "partial":
            np.testing.assert_allclose(p[counts > 0], np.broadcast_to(teacher, p.shape)[counts > 0])


def test_weighted_labels_tend_to_the_square() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.dirichlet(np.ones(5), 4)
    even = np.full(4, 0.25)
    counts = draw(rng, even, teacher, 10_000_000, 1)
    learnt = LEARNERS["weighted"](counts, teacher)
    assert float(total_variation(learnt, normalized(teacher**2), even)[0]) < 2e-3
    assert fit_gap(draw(rng, even, teacher, 200, 1)[0], teacher) < 1e-3


@pytest.mark.parametrize("name", ["labels", "partial", "full"])
def test_hard_instances_are_distributions(name: str) -> None:
    weights, teacher = hard_instance(name, 300)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(teacher.sum(1), 1)
