"""What acts on weights and on the layer that reads features out, against identities and limits."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrun.data import Features
from regrun.models import MLP, SmallCNN
from regrun.models.angular_heads import CosineHead, WrappedCauchyHead
from regrun.regularizers import (
    AngularHead,
    LogitAttenuation,
    NormLoss,
    Regularizer,
    WeightCompander,
)
from regrun.regularizers.lawn import constrained
from regrun.regularizers.norm_loss import row_norms
from regrun.regularizers.weight_compander import Compander
from samples import CLASSES, PIXELS, N, Y, classifier, drawn, step_of

# ---------------------------------------------------------------------- rows of norm 1


def test_norm_loss_is_decay_that_changes_sign_at_norm_one() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4)).double()
    NormLoss(0.3).penalty(step_of(drawn(N, CLASSES), task=SimpleNamespace(model=model))).backward()
    for layer in (model[0], model[3]):
        w = layer.weight.detach().flatten(1)
        norms = w.norm(dim=1, keepdim=True)
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.weight.grad.flatten(1), 0.6 * (1 - 1 / norms) * w)
        assert layer.bias.grad is None
    assert model[1].weight.grad is None
    assert sum(len(norms) for norms in row_norms(model)) == 7
    nn.init.zeros_(model[3].weight)
    model.zero_grad()
    NormLoss().penalty(step_of(drawn(N, CLASSES), task=SimpleNamespace(model=model))).backward()
    assert model[3].weight.grad is not None
    assert model[3].weight.grad.isfinite().all()


def test_a_model_without_rows_has_no_norm_loss() -> None:
    with pytest.raises(
        ValueError, match="norm_loss is of convolutions and linear layers, and Embedding has none"
    ):
        NormLoss().attach(SimpleNamespace(model=nn.Embedding(3, 2)))  # type: ignore[arg-type]


# -------------------------------------------------------------------- weight compander


@pytest.mark.parametrize("function", ["arctan", "tanh", "clamp"])
def test_companded_weights_begin_as_they_were_and_stay_within_their_bound(function: str) -> None:
    torch.manual_seed(0)
    model = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1], pool=True)
    plain = copy.deepcopy(model).eval()
    WeightCompander(4.0, 2.0, function).attach(SimpleNamespace(model=model))
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(model.eval()(x).logits, plain(x).logits, atol=1e-5, rtol=1e-4)
    bounds = [4 * float(layer.weight.std()) for layer in (plain.body[0], plain.head)]
    for layer, bound in zip((model.body[0], model.head), bounds, strict=True):
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(1e6)
        assert float(layer.weight.detach().abs().max()) <= bound * (1 + 1e-5)
        assert float(layer.weight.detach().abs().max()) > 0.99 * bound
    names = [name for name, _ in model.named_parameters()]
    assert any(name.endswith("head.parametrizations.weight.original") for name in names)


@pytest.mark.parametrize(("function", "slope"), [("arctan", 2.0), ("tanh", 2.0), ("clamp", 1.0)])
def test_a_compander_has_its_slope_at_zero_and_its_inverse(function: str, slope: float) -> None:
    compander = Compander(0.5, 2.0, function, learnt=True)
    v = torch.zeros(3, requires_grad=True)
    compander(v).sum().backward()
    assert v.grad is not None
    torch.testing.assert_close(v.grad, torch.full((3,), slope))
    w = torch.linspace(-0.4, 0.4, 9)
    torch.testing.assert_close(compander(compander.right_inverse(w)), w)
    assert {name for name, _ in compander.named_parameters()} == {"log_a", "log_b"}
    assert not list(Compander(0.5, 2.0, function, learnt=False).parameters())


@pytest.mark.parametrize("function", ["arctan", "tanh", "clamp"])
def test_a_compander_of_a_model_in_float64_loses_nothing(function: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 6).double()
    before = layer.weight.detach().clone()
    WeightCompander(4.0, 2.0, function).attach(SimpleNamespace(model=nn.Sequential(layer)))  # type: ignore[arg-type]
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    torch.testing.assert_close(layer.weight, before, rtol=1e-13, atol=1e-15)
    with torch.no_grad():
        layer.parametrizations.weight.original.fill_(1e30)
    expected = torch.full_like(before, 4 * float(before.std()))
    torch.testing.assert_close(layer.weight, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("weight", "name"), [(torch.zeros(3, 2), "1"), (torch.full((3, 2), 0.5), "1"), (torch.ones(1, 1), "1")]
)
def test_weights_without_deviation_have_no_bound(weight: torch.Tensor, name: str) -> None:
    model = nn.Sequential(nn.Linear(4, weight.shape[1]), nn.Linear(*reversed(weight.shape)))
    model[1].weight.data = weight
    with pytest.raises(ValueError, match=f"those of {name} are all the same"):
        WeightCompander().attach(SimpleNamespace(model=model))  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- LAWN


def trained(optimizer_of: Any, steps: int, lawn: LogitAttenuation | None) -> tuple[MLP, list[float]]:
    torch.manual_seed(0)
    model = MLP(Features((5,)), CLASSES, hidden=(16,))
    optimizer = optimizer_of(model.parameters())
    task = SimpleNamespace(model=model, optimizer=optimizer)
    if lawn is not None:
        lawn.attach(task)
    x = torch.randn(N, 5)
    norms = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x).logits, Y).backward()
        if lawn is not None:
            lawn.edit_gradients(task)
            for weight in constrained(model) if int(lawn.done) > lawn.free_steps else []:
                assert abs(float((weight.grad * weight).sum())) < 1e-5
        optimizer.step()
        if lawn is not None:
            lawn.project(task)
        norms.append(float(constrained(model)[-1].detach().norm()))
    return model, norms


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_norms_are_fixed_after_the_free_steps(kind: str) -> None:
    def make(parameters: Any) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        return torch.optim.Adam(parameters, lr=0.02)

    _, free = trained(make, 30, None)
    _, held = trained(make, 30, LogitAttenuation(10))
    assert held[:10] == free[:10]
    assert held[9] != held[5]
    for norm in held[10:]:
        assert norm == pytest.approx(held[9], rel=1e-5)
    assert max(free) > 1.2 * held[9]


def lawn_of(model: nn.Module, free_steps: int) -> tuple[LogitAttenuation, Any]:
    task = SimpleNamespace(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    lawn = LogitAttenuation(free_steps)
    lawn.attach(task)  # type: ignore[arg-type]
    return lawn, task


def test_norms_of_a_model_in_float64_are_held_to_its_digits() -> None:
    torch.manual_seed(0)
    model = nn.Linear(6, 3, bias=False).double()
    norm = model.weight.detach().norm()
    lawn, task = lawn_of(model, 0)
    for _ in range(3):
        task.optimizer.zero_grad()
        model(torch.randn(4, 6, dtype=torch.float64)).square().sum().backward()
        lawn.edit_gradients(task)
        task.optimizer.step()
        lawn.project(task)
    torch.testing.assert_close(model.weight.detach().norm(), norm, rtol=1e-14, atol=0)
    torch.testing.assert_close(lawn.norms, norm[None], rtol=1e-14, atol=0)


def test_weights_whose_norm_would_be_fixed_at_zero_are_refused_or_stay() -> None:
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    with pytest.raises(ValueError, match=r"weights that are all 0.* set free_steps to at least 1"):
        lawn_of(model, 0)
    lawn, task = lawn_of(model, 1)
    for step in range(3):
        task.optimizer.zero_grad()
        model(torch.ones(4, 3)).sum().backward()
        if step == 1:
            nn.init.zeros_(model.weight)  # a free step has moved them
        lawn.edit_gradients(task)
        task.optimizer.step()
        lawn.project(task)
    assert lawn.norms.tolist() == [0]
    assert not model.weight.any()
    assert model.bias.isfinite().all()
    with pytest.raises(ValueError, match="after the last normalization, and there is none"):
        lawn_of(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), 10)


def test_only_what_follows_the_last_normalization_is_held() -> None:
    normalized = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1])
    assert [w.shape for w in constrained(normalized)] == [normalized.head.weight.shape]
    free = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1], normalized=False, hidden=8)
    assert len(constrained(free)) == 4


# ------------------------------------------------------------------------ angular heads


def test_the_wrapped_cauchy_head_is_a_density_of_the_angle() -> None:
    head = WrappedCauchyHead(2, 1, scale=1.0).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0]]))
    angle = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    density = head(5 * torch.stack([angle.cos(), angle.sin()], 1)).squeeze(1)
    assert float(torch.trapezoid(density, angle).detach()) == pytest.approx(1, abs=1e-6)
    g = float(head.concentration)
    assert g == pytest.approx(1 / (1 + math.e))
    assert float(density.max()) == pytest.approx((1 + g) / (1 - g) / (2 * math.pi))


@pytest.mark.parametrize("kind", [CosineHead, WrappedCauchyHead])
def test_lengths_do_not_matter_to_an_angular_head(kind: type[CosineHead]) -> None:
    torch.manual_seed(0)
    head = kind(7, CLASSES)
    x = torch.randn(N, 7)
    z = head(x)
    with torch.no_grad():
        head.weight.mul_(torch.rand(CLASSES, 1) + 0.5)
    torch.testing.assert_close(head(9 * x), z)
    z = head(x)
    assert float(head.scale) == pytest.approx(1 + math.log(2))
    assert float(kind(7, CLASSES, 30.0).scale) == 30
    z.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_sharpest_wrapped_cauchy_head_is_finite(dtype: torch.dtype) -> None:
    head = WrappedCauchyHead(2, 2, scale=1.0).to(dtype)
    with torch.no_grad():
        head.raw_concentration.fill_(1e4)
        head.weight.copy_(torch.eye(2))
    x = torch.eye(2, dtype=dtype, requires_grad=True)
    z = head(x)
    assert float(head.concentration.detach()[0]) == 1
    assert not z.any()  # all of the density is at a point
    z.sum().backward()
    assert x.grad is not None
    for p in (x, *head.parameters()):
        assert p.grad is not None
        assert p.grad.isfinite().all()


def test_a_head_is_replaced_in_place() -> None:
    model, x, task = classifier()
    AngularHead("wrapped_cauchy").attach(task)
    assert isinstance(model.head, WrappedCauchyHead)
    assert model(x).logits.shape == (N, CLASSES)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NormLoss(math.nan),
        lambda: WeightCompander(bound=0),
        lambda: WeightCompander(function="sine"),
        lambda: LogitAttenuation(-1),
        lambda: AngularHead("sine"),
        lambda: AngularHead(scale=0),
    ],
)
def test_parameters_out_of_range_are_refused(make: type[Regularizer]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
