"""Calibrated regression: its error, its quantiles, its parts of the data."""

from __future__ import annotations

import pytest
import torch

from regrun.papers.regression_calibration import (
    LEVELS,
    CalibratedRegression,
    calibration_error,
    conformal_gap,
    ecdf,
    friedman,
    parts_of,
)
from samples import mixture


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
