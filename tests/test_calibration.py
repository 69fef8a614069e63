"""Calibration, against hand-made cases, torchmetrics and scikit-learn."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import brier_score_loss
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from regrun.data import Batch
from regrun.data.criteria import Classification, Regression
from regrun.losses import SparsemaxLoss, ZLoss
from regrun.measures.calibration import (
    brier_score,
    classwise_error,
    reliability,
    risk_coverage_area,
    uniform_reliability,
)
from regrun.models import Output
from regrun.probability_maps import Softmax, sparsemax
from regrun.probes import Calibration
from regrun.probes.base import ProbeError
from regrun.probes.temperature_scaling import fit_temperature


def honest(n: int, seed: int = 0, classes: int = 4, sharpness: float = 2.0) -> tuple[Tensor, Tensor]:
    """Probabilities, and labels that are drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    p = (sharpness * torch.randn(n, classes, generator=generator, dtype=torch.float64)).softmax(1)
    return p, torch.multinomial(p, 1, generator=generator).squeeze(1)


def top(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    confidence, predicted = p.max(1)
    return confidence, predicted == y


def test_the_error_in_equal_bins_is_torchmetrics() -> None:
    p, y = honest(3000)
    sharper = p.square() / p.square().sum(1, keepdim=True)
    for q in (p, sharper):
        expected = multiclass_calibration_error(q, y, 4, n_bins=15, norm="l1")
        assert float(uniform_reliability(*top(q, y)).error) == pytest.approx(float(expected), abs=1e-6)


def test_a_known_distance_is_found_in_either_kind_of_bins() -> None:
    confidence = torch.full((1000,), 0.9)
    right = torch.arange(1000) % 10 < 7
    right = right[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert float(uniform_reliability(confidence, right).error) == pytest.approx(0.2)
    assert float(reliability(confidence, right, 1).error) == pytest.approx(0.2)
    bins = reliability(torch.linspace(0, 1, 103), torch.ones(103) > 0, 10)
    assert sorted({int(n) for n in bins.count}) == [10, 11]
    assert bins.confidence.diff().min() > 0


def test_the_debiased_error_of_honest_probabilities_vanishes_and_the_plain_one_does_not() -> None:
    plain, debiased, squares = [], [], []
    for seed in range(200):
        found = reliability(*top(*honest(300, seed)))
        plain.append(float(found.error))
        debiased.append(float(found.debiased_error))
        noise = found.accuracy * (1 - found.accuracy) / (found.count - 1)
        squared = (found.confidence - found.accuracy).square() - noise
        squares.append(float((found.count * squared).sum() / found.count.sum()))
    mean = sum(squares) / len(squares)
    deviation = torch.tensor(squares).std().item() / math.sqrt(len(squares))
    assert abs(mean) < 4 * deviation  # without its clamp it is unbiased
    assert sum(plain) / len(plain) > 0.05
    assert sum(debiased) / len(debiased) < 0.6 * sum(plain) / len(plain)
    # And of dishonest ones both find the distance.
    confidence = torch.full((20_000,), 0.9)
    right = torch.rand(20_000, generator=torch.Generator().manual_seed(0)) < 0.7
    assert float(reliability(confidence, right).debiased_error) == pytest.approx(0.2, abs=0.01)


def test_classwise_error_is_the_mean_of_binary_errors() -> None:
    p, y = honest(2000)
    p = p.square() / p.square().sum(1, keepdim=True)
    errors = [float(uniform_reliability(p[:, k], y == k).error) for k in range(4)]
    assert float(classwise_error(p, y)) == pytest.approx(sum(errors) / 4)


def test_brier_score_is_scikit_learns() -> None:
    p, y = honest(500, classes=2)
    expected = 2 * brier_score_loss(y.numpy(), p[:, 1].numpy())  # which counts one class of two
    assert float(brier_score(p, y)) == pytest.approx(expected)


def test_risk_and_coverage_by_hand() -> None:
    confidence = torch.tensor([0.9, 0.8, 0.7, 0.6])
    right = torch.tensor([True, False, True, False])
    assert float(risk_coverage_area(confidence, right)) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert float(risk_coverage_area(-confidence, right)) > float(risk_coverage_area(confidence, right))


def task_of(probability_map: object, criterion: object) -> SimpleNamespace:
    return SimpleNamespace(probability_map=probability_map, criterion=criterion)


def test_the_probe_reads_the_probabilities_of_the_loss() -> None:
    z = 3 * torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(90) % 5
    batch = Batch(z, y, torch.arange(90))
    for own, p in ((Softmax(), z.softmax(1)), (SparsemaxLoss().probability_map, sparsemax(z))):
        probe = Calibration()
        probe.attach(task_of(own, Classification()), None)  # type: ignore[arg-type]
        probe.update(batch, Output(z), y)
        row = {name: float(value) for name, value in probe.compute(None).items()}  # type: ignore[arg-type]
        confidence, right = top(p.double(), y)
        assert row["confidence"] == pytest.approx(float(confidence.mean()), abs=1e-6)
        assert row["wrong_confidence"] == pytest.approx(float(confidence[~right].mean()), abs=1e-6)
        if isinstance(own, Softmax):
            assert row["nll"] == pytest.approx(float(F.cross_entropy(z, y)), abs=1e-5)
        else:
            assert row["nll"] == math.inf  # sparsemax has given nothing to something true
        bars = {name: value for name, value in row.items() if name.startswith("reliability/confidence=")}
        assert len(bars) == 15


def test_what_has_no_probabilities_has_no_calibration() -> None:
    for task, message in [
        (task_of(ZLoss().probability_map, Classification()), "no probabilities"),
        (task_of(Softmax(), Regression()), "no classes"),
    ]:
        with pytest.raises(ProbeError, match=message):
            Calibration().attach(task, None)  # type: ignore[arg-type]


def test_a_temperature_is_found_where_logits_were_scaled() -> None:
    p, y = honest(20_000)
    for scale in (0.5, 1.0, 3.0):
        assert fit_temperature(scale * p.log(), y) == pytest.approx(scale, rel=0.05)
