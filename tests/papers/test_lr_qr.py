"""Conformal prediction under a shift, against theory and scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import QuantileRegressor

from regrun.papers.lr_qr import (
    Shift,
    fit_threshold,
    gaussian_shift,
    lr_qr_objective,
    split_threshold,
    weighted_thresholds,
)


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
