"""Gradients through a solve: backpropagation, checkpoints, the continuous adjoint, and finite differences."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import Tensor, nn

from regrun.solvers import (
    Backpropagation,
    Bosh3,
    Checkpointing,
    ContinuousAdjoint,
    Dopri5,
    Dopri8,
    RungeKutta,
    Tsit5,
    odeint,
)
from regrun.solvers.combination import combine

DISCRETE = (Backpropagation(), Checkpointing())
START = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]], dtype=torch.float64)
each_discrete = pytest.mark.parametrize("gradient", DISCRETE, ids=lambda g: type(g).__name__)
each_control = pytest.mark.parametrize("per_sample", [False, True], ids=["pooled", "per-sample"])


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return 2 * self.net(y) + torch.sin(t).reshape(-1, 1)


def gradients(field: Field, loss: Tensor, start: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, [start, *field.parameters()], retain_graph=True)
    return torch.cat([part.flatten() for part in found])


def weigh(states: Tensor) -> Tensor:
    """A loss on which all states have an influence."""
    return (states.flatten(1).square().sum(1) * torch.arange(1, len(states) + 1)).sum()


@pytest.mark.parametrize("method", [Bosh3(), Dopri5(), Tsit5(), Dopri8()], ids=lambda m: type(m).__name__)
@each_control
def test_the_three_adjoints_agree(method: RungeKutta, per_sample: bool) -> None:
    field, found = Field(), []
    tolerance = 1e-6 if isinstance(method, Bosh3) else 1e-10
    for gradient in (*DISCRETE, ContinuousAdjoint(), ContinuousAdjoint(all_errors=True)):
        start = START.clone().requires_grad_()
        times = [0.0, 0.4, 1.0]
        solution = odeint(
            field, start, times, method=method, rtol=tolerance, atol=tolerance, gradient=gradient,
            per_sample=per_sample,
        )  # fmt: skip
        found.append(gradients(field, weigh(solution.states), start))
    torch.testing.assert_close(found[0], found[1], atol=1e-13, rtol=1e-12)
    for continuous in found[2:]:
        torch.testing.assert_close(found[0], continuous, atol=1e4 * tolerance, rtol=1e4 * tolerance)


@each_discrete
@each_control
def test_gradients_of_states_and_statistics_against_finite_differences(
    gradient: Backpropagation, per_sample: bool
) -> None:
    """With the step sizes held: tolerances so loose that every step grows by the same bounded factor."""
    field = Field()

    def values(start: Tensor) -> Tensor:
        solution = odeint(
            field, start, [0.0, 0.5, 1.0], rtol=1.0, atol=1.0, first_step=0.03, differentiable=True,
            gradient=gradient, per_sample=per_sample,
        )  # fmt: skip
        seen = solution.statistics
        assert len(seen.h) > 2
        stiffness = seen.require_stiffness()
        return torch.stack([weigh(solution.states), (seen.error * seen.h.abs()).sum() * 1e5, stiffness.sum()])

    start = START.clone().requires_grad_()
    assert torch.autograd.gradcheck(values, (start,), atol=1e-5)
    weight = field.net[0].weight
    found = torch.stack([torch.autograd.grad(v, weight, retain_graph=True)[0][1, 0] for v in values(START)])
    shift = 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[1, 0] += sign * shift
            ends.append(values(START))
            weight[1, 0] -= sign * shift
    torch.testing.assert_close(found, (ends[0] - ends[1]) / (2 * shift), rtol=1e-4, atol=1e-6)


@each_control
def test_the_statistics_have_a_gradient_only_if_asked_for(per_sample: bool) -> None:
    field = Field()
    silent = odeint(field, START, [0.0, 1.0], per_sample=per_sample).statistics
    assert not silent.error.requires_grad
    assert not silent.require_stiffness().requires_grad
    asked = odeint(field, START, [0.0, 1.0], per_sample=per_sample, differentiable=True).statistics
    torch.testing.assert_close(silent.error, asked.error.detach())
    found = torch.autograd.grad(
        asked.error.sum() + asked.require_stiffness().sum(), list(field.parameters())[:3]
    )
    assert all(torch.isfinite(part).all() and part.abs().sum() > 0 for part in found)


def test_the_continuous_adjoint_refuses_gradients_of_statistics() -> None:
    with pytest.raises(ValueError, match="choose Backpropagation or Checkpointing"):
        odeint(Field(), START, [0.0, 1.0], gradient=ContinuousAdjoint(), differentiable=True)


@pytest.mark.parametrize("gradient", [Checkpointing(), ContinuousAdjoint()], ids=lambda g: type(g).__name__)
def test_a_field_that_is_no_module_must_say_what_it_depends_on(
    gradient: Checkpointing | ContinuousAdjoint,
) -> None:
    rate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -rate * y

    with pytest.raises(ValueError, match=r"pass parameters="):
        odeint(field, START, [0.0, 1.0], gradient=gradient)
    told = type(gradient)(parameters=[rate])
    odeint(field, START, [0.0, 1.0], gradient=told, rtol=1e-9, atol=1e-9).last.sum().backward()
    exact = -(START.sum() * torch.exp(-rate)).detach()
    torch.testing.assert_close(rate.grad, exact, rtol=1e-7, atol=0)


def test_no_gradient_no_graph() -> None:
    for gradient in (*DISCRETE, ContinuousAdjoint()):
        with torch.no_grad():
            assert not odeint(Field(), START, [0.0, 1.0], gradient=gradient).last.requires_grad


def test_checkpoints_keep_less() -> None:
    """What is alive between forward and backward: stages with backpropagation, states with checkpoints."""

    def kept(gradient: Backpropagation) -> int:
        start = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        gc.collect()
        shape = start.shape
        solution = odeint(Field(), start, [0.0, 1.0], rtol=1e-8, atol=1e-8, gradient=gradient)
        gc.collect()
        saved: list[Tensor] = []
        seen, todo = set(), [solution.last.grad_fn]
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            todo += [parent for parent, _ in node.next_functions]
            for name in dir(node):
                if name.startswith("_saved_") and isinstance(value := getattr(node, name), Tensor):
                    saved.append(value)
            if hasattr(node, "saved_tensors"):
                saved += [value for value in node.saved_tensors if value is not None]
        return len({value.data_ptr() for value in saved if len(value.shape) and value.shape[0] == shape[0]})

    assert kept(Checkpointing()) < kept(Backpropagation()) / 5


@pytest.mark.parametrize("has_base", [False, True])
def test_combinations(has_base: bool) -> None:
    terms = [torch.randn(3, 2, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    base = torch.randn(3, 2, dtype=torch.float64, requires_grad=True) if has_base else None
    weights = [0.5, 0.0, -2.0, 3.0]
    total = sum(w * term for w, term in zip(weights, terms, strict=True))
    expected = total if base is None else total + base
    torch.testing.assert_close(combine(weights, terms, base), expected)
    with torch.no_grad():
        torch.testing.assert_close(combine(weights, terms, base), expected)
    inputs = (*terms, base) if base is not None else tuple(terms)

    def function(*tensors: Tensor) -> Tensor:
        return combine(weights, tensors[:4], tensors[4] if has_base else None).sin()

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)
