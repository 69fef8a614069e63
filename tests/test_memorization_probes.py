"""Probes of memorization, spectra, calibration and margins, against known cases."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kurtosis, mannwhitneyu
from sklearn.feature_selection import f_classif
from torch import Tensor

from regrun.data import Batch
from regrun.measures.spectrum import effective_rank
from regrun.models import Output
from regrun.probability_maps import Sparsemax
from regrun.probes import FeatureSpectrum, LogitRange, Margins, Memorization, TopK, WeightDistribution
from regrun.probes.class_spread import class_spread, variance_ratio

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


def test_the_label_is_among_the_largest() -> None:
    z = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0]])
    y = torch.tensor([0, 0, 0, 0])
    row = seen(TopK([1, 2, 3]), z, y, y)
    assert row == {"top_k_accuracy/k=1": 0.25, "top_k_accuracy/k=2": 0.5, "top_k_accuracy/k=3": 1.0}


def test_ranges_and_saturation_of_logits_by_hand() -> None:
    z = torch.tensor([[10.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]])
    y = torch.tensor([0, 1, 2])
    probe = LogitRange(0.9)
    assert math.isnan(seen(probe, z, y, y)["support"])
    probe.probability_map = Sparsemax()
    row = seen(probe, z, y, y)
    assert row["logit_range"] == pytest.approx(5)
    assert row["saturation"] == pytest.approx(2 / 3)
    assert row["support"] == 1  # of margins of at least 1
    assert seen(probe, z / 5, y, y)["support"] == 3


def test_features_of_a_class_that_point_one_way_have_no_spread() -> None:
    y = torch.arange(30) % 3
    direction = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    scale = torch.rand(30, 1, generator=torch.Generator().manual_seed(1)) + 0.1
    assert float(class_spread(scale * direction[y], y, 3)) == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert float(class_spread(opposite, torch.zeros(2, dtype=torch.int64), 1)) == pytest.approx(1 - 2**-0.5)
    # Analysis of variance: scikit-learn's F is the ratio's inverse, but for the degrees of freedom.
    z, labels = torch.randn(90, 1, generator=torch.Generator().manual_seed(2)), torch.arange(90) % 3
    (f,), _ = f_classif(z.numpy(), labels.numpy())
    assert float(variance_ratio(z, labels, 3)) == pytest.approx((90 - 3) / (3 - 1) / float(f), rel=1e-4)


def test_the_distribution_of_weights_is_scipys() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.ReLU(), torch.nn.Linear(30, 5))
    row = WeightDistribution().compute(SimpleNamespace(model=model))  # type: ignore[arg-type]
    weights = [m.weight.detach().double().numpy() for m in (model[0], model[2])]
    centred = [float(kurtosis(w.ravel(), fisher=False)) for w in weights]
    assert float(row["weight_kurtosis"]) == pytest.approx(sum(centred) / 2, rel=1e-6)
    assert float(row["weight_extreme"]) == pytest.approx(max(abs(w).max() / w.std() for w in weights))
    assert float(row["row_condition"]) == pytest.approx(max(np.linalg.cond(w) for w in weights))
    norms = np.concatenate([np.linalg.norm(w, axis=1) for w in weights])
    assert float(row["row_norm_distance"]) == pytest.approx(abs(norms - 1).mean())
