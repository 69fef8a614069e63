from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regrun.contracts.output import as_output
from regrun.data import BackCopy, Batch, Features, Samples, Splits
from regrun.data.criteria import Classification, NextToken
from regrun.measures.outliers import kurtosis
from regrun.models import MLP, Output, SmallTransformer
from regrun.models.attention import DotProductAttention
from regrun.probability_maps import Softpick, TaylorSoftmax
from regrun.probes import (
    ActivationCodes,
    AttentionPatterns,
    Calibration,
    FeatureRedundancy,
    FeatureSpectrum,
    GradientAlignment,
    LayerInformation,
    LogitRange,
    LogitScale,
    Margins,
    Memorization,
    NeuralCollapse,
    Probe,
    ProbeError,
    SoftmaxCollapse,
    SpectralEntropy,
    TopK,
    WeightDistribution,
    WeightNorms,
)
from regrun.probes.base import Trial
from regrun.probes.samples import gigabytes
from regrun.probes.softmax_collapse import is_collapsed
from samples import double


@pytest.mark.parametrize(
    ("dtype", "onset"), [(torch.float16, 7.62), (torch.float32, 16.64), (torch.float64, 36.74)]
)
def test_collapse_sets_in_where_rounding_does(dtype: torch.dtype, onset: float) -> None:
    z = torch.tensor([[onset - 0.1, 0.0], [onset + 0.1, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert is_collapsed(z, dtype).tolist() == [False, True, False]


def test_collapse_is_a_share_over_all_batches() -> None:
    probe = SoftmaxCollapse("float32")
    for margins in ([20.0, 1.0, 1.0], [30.0]):
        z = torch.tensor([[m, 0.0] for m in margins])
        y = torch.zeros(len(z))
        probe.update(Batch(z, y, torch.arange(len(z))), Output(z), y)
    assert probe.compute(SimpleNamespace()) == {"softmax_collapse": pytest.approx(0.5)}
    z = torch.zeros(1, 2)
    probe.update(Batch(z, torch.zeros(1), torch.arange(1)), Output(z), torch.zeros(1))
    assert float(probe.compute(SimpleNamespace())["softmax_collapse"]) == 0


def test_logit_scale_and_margin() -> None:
    z = torch.tensor([[3.0, -5.0, 1.0], [0.0, 2.0, 4.0]])
    probe = LogitScale()
    y = torch.tensor([0, 1])
    probe.update(Batch(z, y, torch.arange(2)), Output(z), y)
    values = probe.compute(SimpleNamespace())
    assert float(values["logit_scale"]) == pytest.approx((5 + 4) / 2)
    assert float(values["logit_margin"]) == pytest.approx((2 - 2) / 2)


def task_with_gradients(*pairs: tuple[list[float], list[float]]) -> SimpleNamespace:
    model = nn.ParameterList([nn.Parameter(torch.tensor(w)) for w, _ in pairs])
    for p, (_, g) in zip(model, pairs, strict=True):
        p.grad = torch.tensor(g)
    return SimpleNamespace(model=model)


def test_alignment_is_one_along_the_weights_and_zero_across() -> None:
    probe = GradientAlignment()
    assert probe.compute(SimpleNamespace()) == {}
    # A loss that falls as the weights grow has its gradient against them.
    probe.on_gradient(task_with_gradients(([1.0, 2.0], [-2.0, -4.0]), ([3.0, 0.0], [0.0, 5.0])))
    probe.on_edited_gradient(task_with_gradients(([1.0, 2.0], [-2.0, 1.0]), ([3.0, 0.0], [3.0, 3.0])))
    values = {name: float(value) for name, value in probe.compute(SimpleNamespace()).items()}
    assert values["gradient_weight_cosine/0"] == pytest.approx(1)
    assert values["gradient_weight_cosine/1"] == pytest.approx(0)
    assert values["gradient_weight_cosine"] == pytest.approx(10 / (14**0.5 * 45**0.5))
    assert values["edited_gradient_weight_cosine"] == pytest.approx(0.5**0.5)


def test_alignment_sees_the_direction_of_vanishing_gradients() -> None:
    probe = GradientAlignment()
    probe.on_gradient(task_with_gradients(([1.0, 1.0], [-1e-30, -1e-30])))
    assert float(probe.compute(SimpleNamespace())["gradient_weight_cosine"]) == pytest.approx(1)
    probe.on_gradient(task_with_gradients(([1.0, 1.0], [0.0, 0.0])))
    assert float(probe.compute(SimpleNamespace())["gradient_weight_cosine"]) == 0


def test_norms_add_up() -> None:
    model = nn.Linear(3, 4)
    values = WeightNorms().compute(SimpleNamespace(model=model))
    assert float(values["weight_norm"]) ** 2 == pytest.approx(
        float(values["weight_norm/weight"]) ** 2 + float(values["weight_norm/bias"]) ** 2
    )
    assert float(values["weight_norm/weight"]) == pytest.approx(model.weight.norm().item())


# ----------------------------------------------------------------- ties, and what is no number


def looked(probe: Probe, z: Tensor, y: Tensor, clean: Tensor | None = None) -> dict[str, float]:
    """What a probe of logits says of samples, and of the same in another order."""
    rows = []
    probe.attach(TASK, None)  # type: ignore[arg-type]
    for order in (torch.arange(len(y)), torch.randperm(len(y), generator=torch.Generator().manual_seed(0))):
        batch = Batch(z[order], y[order], order)
        probe.update(batch, Output(z[order]), (y if clean is None else clean)[order])
        rows.append({name: float(value) for name, value in probe.compute(TASK).items()})
    assert rows[0] == pytest.approx(rows[1], nan_ok=True, rel=1e-6)
    return rows[0]


TASK: Any = SimpleNamespace(classes=5, criterion=Classification(), probability_map=TaylorSoftmax())
Y = torch.arange(20) % 5


def test_logits_that_are_all_the_same_rank_by_chance() -> None:
    found = looked(TopK((1, 2, 5)), torch.zeros(20, 5), Y)
    assert found == pytest.approx(
        {"top_k_accuracy/k=1": 0.2, "top_k_accuracy/k=2": 0.4, "top_k_accuracy/k=5": 1}
    )
    # The label shares the second and third place with one other.
    z = torch.tensor([[3.0, 2.0, 2.0, 1.0, 0.0]])
    for k, expected in ((1, 0.0), (2, 0.5), (3, 1.0)):
        assert looked(TopK((k,)), z, torch.tensor([1]))[f"top_k_accuracy/k={k}"] == expected
    assert looked(TopK((1,)), torch.eye(5)[Y], Y)["top_k_accuracy/k=1"] == 1


def test_losses_that_are_all_the_same_separate_nothing() -> None:
    noisy = torch.where(torch.arange(20) < 8, (Y + 1) % 5, Y)
    assert looked(Memorization(), torch.zeros(20, 5), noisy, Y)["loss_separation"] == 0.5


@pytest.mark.parametrize(
    "make",
    [TopK, Margins, Memorization, LogitRange, LogitScale, SoftmaxCollapse, Calibration],
    ids=lambda c: c.__name__,
)
def test_probes_of_logits_do_not_hide_what_is_no_number(make: type[Probe]) -> None:
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    noisy = torch.where(torch.arange(20) < 8, (Y + 1) % 5, Y)
    probe = make(ks=(1, 2)) if make is TopK else make()
    assert not all(math.isnan(value) for value in looked(probe, z, noisy, Y).values())
    z[0, 2] = math.nan
    assert all(math.isnan(value) for value in looked(probe, z, noisy, Y).values())


def test_a_network_of_no_numbers_has_no_accuracy() -> None:
    z = torch.eye(5)[Y]
    z[4, 0] = math.nan
    scores = Classification().score(Output(z), Batch(z, Y, Y))
    assert scores["accuracy"].isnan().tolist() == [k == 4 for k in range(20)]
    assert (scores["accuracy"][:4] == 1).all()
    sequences, symbols = z.view(4, 5, 5), Y.view(4, 5)
    accuracy = NextToken().score(Output(sequences), Batch(symbols, symbols, symbols))["accuracy"]
    assert accuracy.isnan().tolist() == [True, False, False, False]
    assert (accuracy[1:] == 1).all()


class Broken(MLP):
    """A network one of whose weights is no number."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(Features((4,)), 5, hidden=(6,))
        with torch.no_grad():
            self.body[0][1].weight[0, 0] = math.nan


def task_with(model: nn.Module, y: Tensor = Y) -> Any:
    x = torch.randn(len(y), 4, generator=torch.Generator().manual_seed(0))
    splits = Splits(Samples(x, y, y), Samples(x, y, y))
    return SimpleNamespace(
        model=model,
        inputs=Features((4,)),
        classes=5,
        criterion=Classification(),
        splits_on_device=lambda: splits,
    )


@pytest.mark.parametrize(
    "make",
    [
        ActivationCodes,
        FeatureRedundancy,
        LayerInformation,
        NeuralCollapse,
        SpectralEntropy,
        WeightDistribution,
    ],
    ids=lambda c: c.__name__,
)
def test_probes_of_features_do_not_hide_what_is_no_number(make: Callable[[], Probe]) -> None:
    for model, broken in ((MLP(Features((4,)), 5, hidden=(6,)), False), (Broken(), True)):
        probe, task = make(), task_with(model)
        probe.attach(task, Trial(model(torch.zeros(2, 4)), "32-true"))
        row = {name: float(value) for name, value in probe.compute(task).items()}
        assert all(math.isnan(value) for value in row.values()) == broken, row


def test_features_that_are_all_the_same_have_no_spectrum() -> None:
    for features in (torch.full((6, 3), 0.1), torch.full((6, 3), math.nan)):
        probe = FeatureSpectrum()
        probe.update(Batch(features, Y[:6], Y[:6]), Output(features, features), Y[:6])
        row = probe.compute(TASK)
        assert all(math.isnan(float(value)) for value in row.values()), row


def test_collapse_is_about_several_classes() -> None:
    model = MLP(Features((4,)), 5, hidden=(6,))
    task = task_with(model, torch.full((20,), 3))
    with pytest.raises(ProbeError, match="the samples are of one class"):
        NeuralCollapse().attach(task, Trial(model(torch.zeros(2, 4)), "32-true"))


def patterns(model: SmallTransformer, x: Tensor) -> dict[str, float]:
    samples = Samples(x, x, x)
    inputs = SimpleNamespace(prepare=lambda x: x)
    task = SimpleNamespace(model=model, inputs=inputs, splits_on_device=lambda: Splits(samples, samples))
    probe = AttentionPatterns(samples=len(x))
    probe.attach(task, SimpleNamespace())  # type: ignore[arg-type]
    return {name: float(value) for name, value in probe.compute(task).items()}  # type: ignore[arg-type]


def test_patterns_tell_sinks_and_zeros() -> None:
    torch.manual_seed(0)
    dataset = BackCopy(symbols=6, triggers=1, length=10, train=20, test=2)
    x = dataset.load(Path(), 0).train.x
    softmax, softpick = (
        SmallTransformer(dataset.inputs, dataset.classes, make, width=8, heads=2, layers=2)
        for make in (DotProductAttention, lambda: DotProductAttention(Softpick()))
    )
    even, rectified = patterns(softmax, x), patterns(softpick, x)
    assert even["zero_share"] == 0
    assert 0.2 < rectified["zero_share"] < 0.9
    assert rectified["sink_rate"] == 0
    assert even["sink_rate"] == 0  # an even spread over ten positions is no sink
    hidden = []
    hook = softmax.blocks[-1].register_forward_hook(lambda *seen: hidden.append(seen[2].detach()))
    as_output(softmax.eval()(x))
    hook.remove()
    assert even["largest_activation"] >= float(hidden[0].abs().amax()) - 1e-5
    assert kurtosis(double(200_000)) == pytest.approx(3, abs=0.05)
    assert kurtosis(torch.tensor([-1.0, 1.0])) == 1


def test_sizes_are_rounded_up() -> None:
    assert gigabytes(1e9) == "4 GB"
    assert gigabytes(1) == "0.1 GB"
