"""Probes of memorization, spectra, calibration and margins, against known cases."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from regrun.data import Batch
from regrun.measures.spectrum import effective_rank
from regrun.models import Output
from regrun.probes import FeatureSpectrum, Margins, Memorization

TASK: Any = SimpleNamespace(classes=3)


def seen(probe: Any, z: Tensor, y: Tensor, clean: Tensor, features: Tensor | None = None) -> dict[str, Any]:
    """What a probe says of data that come in two batches."""
    half = len(z) // 3
    for part in (slice(None, half), slice(half, None)):
        output = Output(z[part], None if features is None else features[part])
        probe.update(Batch(z[part], y[part], torch.arange(len(z))[part]), output, clean[part])
    return {name: float(value) for name, value in probe.compute(TASK).items()}


def test_memorized_and_corrected_are_shares_of_the_wrong_labels() -> None:
    clean = torch.tensor([0, 0, 0, 0, 1, 1])
    y = torch.tensor([0, 1, 1, 2, 1, 0])
    predicted = torch.tensor([0, 1, 0, 1, 1, 1])
    z = torch.nn.functional.one_hot(predicted, 3).float()
    probe = Memorization()
    for _ in range(2):  # the second time as if nothing had been seen
        result = seen(probe, z, y, clean)
        assert result["memorized"] == 0.25
        assert result["corrected"] == 0.5
    right = seen(probe, z, clean, clean)
    assert all(math.isnan(value) for value in right.values())


def test_loss_separation_is_the_area_under_the_roc_curve() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(300, 3, generator=generator)
    clean = torch.randint(3, (300,), generator=generator)
    y = torch.where(torch.rand(300, generator=generator) < 0.4, (clean + 1) % 3, clean)
    loss = torch.nn.functional.cross_entropy(z, y, reduction="none")
    wrong, right = loss[y != clean], loss[y == clean]
    expected = mannwhitneyu(wrong, right).statistic / (len(wrong) * len(right))
    assert seen(Memorization(), z, y, clean)["loss_separation"] == pytest.approx(expected, abs=1e-5)


def test_spectrum_of_features_with_known_variances() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    rows = torch.linalg.qr(torch.randn(90, 7, generator=generator, dtype=torch.float64)).Q
    rows = torch.linalg.qr(rows - rows.mean(0)).Q[:, :6]  # orthonormal, each of mean zero
    scales = torch.tensor([4.0, 3.0, 1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    features = (rows - rows.mean(0)) * scales @ basis + 5
    y = torch.zeros(90, dtype=torch.int64)
    result = seen(FeatureSpectrum(), torch.zeros(90, 3), y, y, features)
    assert result["signal_variance"] == pytest.approx(25 / 28, abs=0.02)
    assert result["tail_variance"] == pytest.approx(1 - result["signal_variance"])
    singular = torch.linalg.svdvals(features - features.mean(0))
    assert result["effective_rank"] == pytest.approx(float(effective_rank(singular)), rel=1e-4)
    assert effective_rank(torch.ones(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(1)


def test_a_model_without_features_has_no_spectrum() -> None:
    y = torch.zeros(9, dtype=torch.int64)
    assert all(math.isnan(v) for v in seen(FeatureSpectrum(), torch.zeros(9, 3), y, y).values())


def test_margins_are_quantiles() -> None:
    z = torch.zeros(101, 3)
    z[:, 1] = torch.arange(101.0)
    y = torch.ones(101, dtype=torch.int64)
    result = seen(Margins(), z, y, y)
    assert result == {"margin/p05": 5.0, "margin/p50": 50.0, "margin/p95": 95.0}
    assert seen(Margins(), z, y * 0, y)["margin/p95"] == -5.0
