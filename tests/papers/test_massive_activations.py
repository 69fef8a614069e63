"""Curves over training, fitted to their own data."""

from __future__ import annotations

import numpy as np
import pytest

from regrun.papers.massive_activations import fit_curve, logarithm, modulated_logarithm


def test_curves_are_fitted_to_their_own_data() -> None:
    rng = np.random.default_rng(0)
    t = np.geomspace(1, 1000, 30)
    rising = logarithm(np.array([2.0, 3.0]), t)
    assert fit_curve("logarithm", t, rising, rng, 3)[0] == pytest.approx(1)
    bump = modulated_logarithm(np.array([5.0, -3.0, -3.0, -1.0, 1.0]), t)
    r2, aic = fit_curve("eml", t, bump, rng, 20)
    assert r2 > 0.999
    assert aic < fit_curve("logarithm", t, bump, rng, 3)[1]
