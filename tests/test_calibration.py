"""Calibration, against hand-made cases, torchmetrics and scikit-learn."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise, permutations
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
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
from regrun.probability_maps import Softmax, TaylorSoftmax, sparsemax
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


# ------------------------------------------------------------------------- ties and nan


def kumars(confidence: Tensor, right: Tensor, bins: int) -> float:
    """The error in the bins of Kumar et al.'s code: edges between neighbours, a value at its edge below."""
    ordered = confidence.sort().values.tolist()
    parts = list(np.array_split(ordered, min(bins, len(ordered))))
    edges = sorted({(a[-1] + b[0]) / 2 for a, b in pairwise(parts)} | {math.inf})
    place = torch.tensor([bisect_left(edges, c) for c in confidence.tolist()])
    groups = [place == k for k in place.unique()]
    distances = [(confidence[g].mean() - right[g].double().mean()).abs() * g.double().mean() for g in groups]
    return float(sum(distances))


@given(
    st.lists(st.tuples(st.sampled_from([0.2, 0.5, 0.6, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=150)
def test_the_order_of_equal_confidences_does_not_matter(
    drawn: list[tuple[float, bool]], bins: int, random: Random
) -> None:
    shuffled = random.sample(drawn, len(drawn))
    (c, right), (d, other) = (
        (torch.tensor([v for v, _ in part], dtype=torch.float64), torch.tensor([r for _, r in part]))
        for part in (drawn, shuffled)
    )
    found, again = reliability(c, right, bins), reliability(d, other, bins)
    assert torch.equal(found.confidence, again.confidence)
    assert torch.equal(found.accuracy, again.accuracy)
    assert torch.equal(found.count, again.count)
    assert float(found.error) == pytest.approx(kumars(c, right, bins), abs=1e-12)
    assert torch.equal(risk_coverage_area(c, right), risk_coverage_area(d, other))
    p, q = (torch.stack([v, 1 - v], 1) for v in (c, d))
    for measure in (classwise_error, brier_score):
        assert float(measure(p, right.long())) == pytest.approx(float(measure(q, other.long())), abs=1e-12)
    assert float(uniform_reliability(c, right).error) == pytest.approx(
        float(uniform_reliability(d, other).error), abs=1e-12
    )


def test_predictions_that_are_all_as_sure_are_one_bin_and_one_point() -> None:
    right = torch.arange(1000) % 10 > 0
    for order in (right, right.sort().values, right.sort(descending=True).values):
        confidence = torch.full((1000,), 0.9, dtype=torch.float64)
        assert float(reliability(confidence, order).error) == pytest.approx(0, abs=1e-12)
        assert float(reliability(confidence, order).debiased_error) == pytest.approx(0, abs=1e-12)
        assert float(risk_coverage_area(confidence, order)) == pytest.approx(0.1)
        assert reliability(confidence, order).count.tolist() == [1000]
    # Each value that fills its bins is one, as in scikit-learn's curve.
    confidence = torch.tensor([0.3, 0.6, 0.8], dtype=torch.float64).repeat_interleave(100)
    right = torch.rand(300, generator=torch.Generator().manual_seed(0)) < confidence
    share, mean = calibration_curve(right, confidence, n_bins=10, strategy="quantile")
    found = reliability(confidence, right, 10)
    assert found.confidence.tolist() == pytest.approx(mean)
    assert found.accuracy.tolist() == pytest.approx(share)


def test_the_area_of_ties_is_the_mean_over_their_orders() -> None:
    confidence = torch.tensor([0.9, 0.7, 0.7, 0.7, 0.2])
    right = torch.tensor([True, False, True, False, True])
    areas = [
        sum(sum(not r for r in order[:n]) / n for n in range(1, 6)) / 5
        for order in ([True, *middle, True] for middle in permutations([False, True, False]))
    ]
    assert float(risk_coverage_area(confidence, right)) == pytest.approx(sum(areas) / len(areas))


@pytest.mark.parametrize("broken", [1, 5, 10])
def test_a_network_that_diverged_is_not_calibrated(broken: int) -> None:
    confidence = torch.full((10,), 0.9)
    confidence[:broken] = math.nan
    for right in (torch.zeros(10, dtype=torch.bool), torch.ones(10, dtype=torch.bool)):
        for bins in (1, 3, 15):
            for diagram in (reliability, uniform_reliability):
                found = diagram(confidence, right, bins)
                for value in (found.error, found.debiased_error, *found.confidence, *found.accuracy):
                    assert value.isnan()
        assert risk_coverage_area(confidence, right).isnan()


def test_empty_bins_and_bins_of_one_are_no_errors() -> None:
    found = uniform_reliability(torch.tensor([0.15, 0.95]), torch.tensor([False, True]), 10)
    assert float(found.error) == pytest.approx(0.1)
    assert float(found.debiased_error) == 0
    assert found.accuracy.isnan().tolist() == [k not in (1, 9) for k in range(10)]


def test_the_probe_of_a_network_that_diverged_measures_nothing() -> None:
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    z[4, 1] = math.nan
    y = torch.arange(20) % 3
    for to_weights in (Softmax(), TaylorSoftmax(), SparsemaxLoss().probability_map):
        probe = Calibration()
        probe.attach(task_of(to_weights, Classification()), None)  # type: ignore[arg-type]
        probe.update(Batch(z, y, y), Output(z), y)
        assert all(math.isnan(value) for value in probe.compute(None).values())  # type: ignore[arg-type]
    assert math.isnan(fit_temperature(z, y))


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
