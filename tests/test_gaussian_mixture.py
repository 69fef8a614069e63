"""Mixtures of normal distributions, against quadrature and scipy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import norm

from regrun.measures.mixture import GaussianMixture
from samples import mixture


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
