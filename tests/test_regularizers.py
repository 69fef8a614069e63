from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrun.data import Batch
from regrun.losses import SoftmaxCrossEntropy
from regrun.models import Output
from regrun.regularizers import L1, LatentKL, Loss, PerpGrad, Regularizer, Step, WeightDecay
from regrun.regularizers.base import overrides
from regrun.regularizers.perp_grad import project_out


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def backward(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()


DATA = (torch.randn(20, 6), torch.randint(3, (20,)))


# -------------------------------------------------------------------- ⊥Grad


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e6])
def test_projected_gradient_is_orthogonal(rescale: bool, scale: float) -> None:
    w = torch.randn(30, 20, dtype=torch.float64) * 3
    g = (torch.randn(30, 20, dtype=torch.float64) + w) * scale
    projected = project_out(g, w, rescale)
    assert abs(F.cosine_similarity(projected.flatten(), w.flatten(), dim=0, eps=0)) < 1e-12
    if rescale:
        torch.testing.assert_close(projected.norm(), g.norm())
    else:
        assert projected.norm() < g.norm()


def test_projection_keeps_what_is_orthogonal_already_and_is_idempotent() -> None:
    w = torch.tensor([3.0, 0.0, 4.0], dtype=torch.float64)
    g = torch.tensor([4.0, 2.0, -3.0], dtype=torch.float64)
    torch.testing.assert_close(project_out(g, w), g)
    other = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    once = project_out(other, w, rescale=False)
    torch.testing.assert_close(project_out(once, w, rescale=False), once)


def test_projection_agrees_with_the_nearest_point_of_the_hyperplane() -> None:
    w = torch.randn(12, dtype=torch.float64)
    g = torch.randn(12, dtype=torch.float64)
    basis = torch.linalg.svd(w[None], full_matrices=True).Vh[1:]  # of all that is orthogonal to w
    torch.testing.assert_close(project_out(g, w, rescale=False), basis.T @ (basis @ g))


def test_zero_gradient_and_zero_weight_stay_finite() -> None:
    w = torch.randn(5)
    assert torch.equal(project_out(torch.zeros(5), w), torch.zeros(5))
    g = torch.randn(5)
    torch.testing.assert_close(project_out(g, torch.zeros(5)), g)


def test_a_gradient_along_the_weights_leaves_nothing_however_large() -> None:
    w = torch.tensor([2.0, 0.0])
    assert torch.equal(project_out(torch.tensor([1e12, 0.0]), w), torch.zeros(2))


def test_perp_grad_edits_every_tensor_of_the_model() -> None:
    model = net()
    backward(model, *DATA)
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    PerpGrad().edit_gradients(SimpleNamespace(model=model))
    for name, p in model.named_parameters():
        assert abs(F.cosine_similarity(p.grad.flatten(), p.detach().flatten(), dim=0)) < 1e-5
        torch.testing.assert_close(p.grad.norm(), before[name].norm())
        assert not torch.equal(p.grad, before[name])


# -------------------------------------------------------------- weight decay


def train(model: nn.Module, optimizer: torch.optim.Optimizer, regularizer: Regularizer | None) -> nn.Module:
    task = SimpleNamespace(model=model, optimizer=optimizer)
    for _ in range(5):
        backward(model, *DATA)
        if regularizer is not None:
            regularizer.edit_gradients(task)
        optimizer.step()
    return model


def test_decoupled_decay_is_adamws_own_to_the_bit() -> None:
    a, b = net(), net()
    train(a, torch.optim.AdamW(a.parameters(), lr=0.1, weight_decay=0.7, fused=False, foreach=False), None)
    bare = torch.optim.AdamW(b.parameters(), lr=0.1, weight_decay=0.0, fused=False, foreach=False)
    train(b, bare, WeightDecay(0.7))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


def test_coupled_decay_is_sgds_own() -> None:
    a, b = net(), net()
    train(a, torch.optim.SGD(a.parameters(), lr=0.1, momentum=0.9, weight_decay=0.3), None)
    train(b, torch.optim.SGD(b.parameters(), lr=0.1, momentum=0.9), WeightDecay(0.3, decoupled=False))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q)


# ------------------------------------------------------------------ penalties


def step_of(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    batch = Batch(x, y, torch.arange(len(x)))
    return Step(batch, Output(model(x)), SimpleNamespace(model=model), 0, 0)


def test_l1_is_the_sum_of_absolute_weights_and_pulls_by_sign() -> None:
    model = net()
    penalty = L1(0.25).penalty(step_of(model, *DATA))
    assert penalty.item() == pytest.approx(0.25 * sum(p.abs().sum().item() for p in model.parameters()))
    penalty.backward()
    for p in model.parameters():
        torch.testing.assert_close(p.grad, 0.25 * p.detach().sign())


def test_a_divergence_that_waits_long_costs_nothing() -> None:
    kl = torch.tensor([2.0, 4.0])
    step = Step(Batch(kl, kl, kl), Output(kl, aux={"kl": kl}), SimpleNamespace(model=None), 0, 12)
    assert float(LatentKL(rate=1e-8, delay=1000).penalty(step)) == 0
    assert float(LatentKL(rate=0.5, delay=10, scale=2.0).penalty(step)) == pytest.approx(0.75 * 2 * 3)


# --------------------------------------------------------------- the contract


def test_a_regularizer_acts_only_at_the_moments_it_overrides() -> None:
    acts = {
        "Loss": ["attach", "loss"],
        "PerpGrad": ["edit_gradients"],
        "L1": ["penalty"],
        "WeightDecay": ["edit_gradients"],
    }
    moments = ("attach", "transform", "loss", "penalty", "edit_gradients", "project")
    for regularizer in (Loss(SoftmaxCrossEntropy()), PerpGrad(), L1(), WeightDecay()):
        acting = [moment for moment in moments if overrides(regularizer, moment)]
        assert acting == acts[type(regularizer).__name__]


@pytest.mark.parametrize("make", [lambda: L1(-1), lambda: WeightDecay(-0.1)])
def test_parameters_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        make()  # type: ignore[operator]
