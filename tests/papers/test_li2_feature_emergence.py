"""Emerging features: the first gradient in closed form, and where a curve crosses."""

from __future__ import annotations

import math

import pytest

from regrun.papers.li2_feature_emergence.gradient import lazy_gradient
from regrun.papers.li2_feature_emergence.threshold import crossing
from samples import double


def test_the_gradient_of_ridge_regression_is_its_closed_form() -> None:
    found = lazy_gradient(double(20, 50), double(20, 4, seed=1) - double(20, 4, seed=1).mean(0), 0.7)
    assert found["identity_error"] < 1e-10
    assert (
        lazy_gradient(double(20, 50), double(20, 4) - double(20, 4).mean(0), 1e8)["gradient_cosine"] > 0.9999
    )


def test_a_crossing_is_interpolated() -> None:
    assert crossing([1, 2, 4], [0.0, 0.25, 0.75], 0.5) == pytest.approx(3)
    assert math.isnan(crossing([1, 2], [0.0, 0.1], 0.5))
