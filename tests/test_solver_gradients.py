"""Gradients through a solve: backpropagation, checkpoints, the continuous adjoint, and finite differences."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

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
    UnsupportedGradientError,
    odeint,
)
from regrun.solvers.combination import combine
from regrun.solvers.tolerance import Norm, Tolerance, root_mean_square, root_mean_square_per_sample

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


class Decay(nn.Module):
    """``u' = -rate u``, from 1 to ``exp(-rate t)``."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.rate * y


class Constant(nn.Module):
    """A slope that nothing has an influence on, or that one parameter is."""

    def __init__(self, slope: nn.Parameter | None = None) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.ones_like(y) if self.slope is None else self.slope.expand_as(y)


ALL = (*DISCRETE, ContinuousAdjoint())
each_gradient = pytest.mark.parametrize("gradient", ALL, ids=lambda g: type(g).__name__)


@each_gradient
@each_control
def test_a_field_that_depends_on_time_alone_or_on_nothing(gradient: Any, per_sample: bool) -> None:
    """The documented time has one entry for each sample, with control per sample."""

    class Slowing(nn.Module):
        def forward(self, t: Tensor, u: Tensor) -> Tensor:
            return -t.reshape(-1, 1) * u

    def found(field: nn.Module) -> Tensor:
        start = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
        solved = odeint(
            field, start, [0.0, 1.0], gradient=gradient, per_sample=per_sample, rtol=1e-9, atol=1e-9
        )
        return torch.autograd.grad(solved.last.sum(), [start, *field.parameters()])

    torch.testing.assert_close(found(Slowing())[0], torch.full((3, 2), math.exp(-0.5)).double())
    torch.testing.assert_close(found(Constant())[0], torch.ones(3, 2).double())
    slope = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    by_start, by_slope = found(Constant(slope))
    torch.testing.assert_close(by_start, torch.ones(3, 2).double())
    torch.testing.assert_close(by_slope, torch.tensor(6.0).double())


@each_discrete
@each_control
def test_derivatives_of_higher_order(gradient: Any, per_sample: bool) -> None:
    """Of ``exp(-rate)``: each is the last times -1."""
    field = Decay()
    start = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    value = odeint(
        field, start, [0.0, 0.5, 1.0], gradient=gradient, per_sample=per_sample, rtol=1e-10, atol=1e-10
    ).last.sum()
    (mixed,) = torch.autograd.grad(value, start, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(mixed.sum(), field.rate, retain_graph=True)[0], -value)
    for order in (1, 2, 3):
        (value,) = torch.autograd.grad(value, field.rate, create_graph=True)
        assert value.item() == pytest.approx((-1) ** order * math.exp(-0.7), rel=1e-6)


@each_discrete
@each_control
def test_second_derivatives_of_states_and_statistics_against_finite_differences(
    gradient: Any, per_sample: bool
) -> None:
    """With the step sizes held: tolerances so loose that every step grows by the same bounded factor."""

    def values(start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        solved = odeint(
            Field(), start, [0.0, 0.4, 0.8], rtol=1.0, atol=1.0, first_step=0.1, differentiable=True,
            gradient=gradient, per_sample=per_sample,
        )  # fmt: skip
        seen = solved.statistics
        return weigh(solved.states), 1e3 * seen.error.sum(), seen.require_stiffness().sum()

    start = START.clone().requires_grad_()
    assert torch.autograd.gradgradcheck(values, (start,), atol=1e-5)


def test_the_second_derivatives_of_a_sample_that_arrives_early() -> None:
    """Its later steps are none, and their errors 0, where a norm has no second derivative."""
    rates = torch.tensor([[0.01], [30.0]], dtype=torch.float64)

    def second(rates: Tensor, start: Tensor) -> Tensor:
        start = start.clone().requires_grad_()
        solved = odeint(
            lambda t, y: -rates * y**3, start, [0.0, 1.0], per_sample=True, first_step=0.01,
            differentiable=True,
        )  # fmt: skip
        seen = solved.statistics
        assert len(rates) == 1 or not seen.taken.all()
        total = solved.last.sum() + seen.error.square().sum() + seen.require_stiffness().sum()
        (first,) = torch.autograd.grad(total, start, create_graph=True)
        return torch.autograd.grad(first.sum(), start)[0]

    alone = torch.cat([second(rates[k : k + 1], START[k : k + 1]) for k in range(2)])
    torch.testing.assert_close(second(rates, START[:2]), alone, rtol=1e-6, atol=1e-8)


@each_control
def test_the_continuous_adjoint_refuses_second_derivatives_by_name(per_sample: bool) -> None:
    """Of a loss linear in the states as well, whose gradient with respect to them depends on nothing."""
    field = Decay()
    for loss in (torch.sum, lambda x: x.square().sum()):
        start = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
        solved = odeint(
            field,
            start,
            [0.0, 1.0],
            gradient=ContinuousAdjoint(),
            per_sample=per_sample,
            rtol=1e-9,
            atol=1e-9,
        )
        by_rate, by_start = torch.autograd.grad(loss(solved.last), [field.rate, start], create_graph=True)
        exact = math.exp(-0.7) if loss is torch.sum else 2 * math.exp(-1.4)
        torch.testing.assert_close(by_start.detach(), torch.full((2, 1), exact).double(), rtol=1e-6, atol=0)
        for first in (by_rate, by_start):
            with pytest.raises(UnsupportedGradientError, match="choose Backpropagation or Checkpointing"):
                torch.autograd.grad(first.sum(), field.rate, retain_graph=True)


def test_transforms_of_torch_and_forward_differentiation() -> None:
    """On ``u' = A u``, whose flow is ``exp(A)``; refused by name where the gradient is computed anew."""
    matrix = torch.tensor([[0.0, 1.0], [-1.0, 0.2]], dtype=torch.float64)
    flow = torch.matrix_exp(matrix)
    v = torch.tensor([0.3, -0.4], dtype=torch.float64)

    def flowing(gradient: Any) -> Callable[[Tensor], Tensor]:
        return lambda y: odeint(
            lambda t, y: y @ matrix.T, y[None], [0.0, 1.0], rtol=1e-11, atol=1e-11, gradient=gradient
        ).last[0]

    def dual(end: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.autograd.forward_ad.dual_level():
            moving = torch.autograd.forward_ad.make_dual(START[0], v)
            return torch.autograd.forward_ad.unpack_dual(end(moving)).tangent

    def pushed(end: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.func.jvp(end, (START[0],), (v,))[1]

    def jacobian(end: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.func.jacrev(end)(START[0])

    end = flowing(Backpropagation())
    torch.testing.assert_close(pushed(end), flow @ v)
    torch.testing.assert_close(dual(end), flow @ v)
    torch.testing.assert_close(jacobian(end), flow)
    hessian = torch.func.hessian(lambda y: end(y).pow(3).sum())(START[0])
    torch.testing.assert_close(hessian, flow.T @ torch.diag(6 * (flow @ START[0])) @ flow)
    for derivative in (pushed, dual, jacobian):
        for gradient in (Checkpointing([]), ContinuousAdjoint([])):
            with pytest.raises(UnsupportedGradientError, match="choose Backpropagation"):
                derivative(flowing(gradient))
    for gradient in (Backpropagation(), Checkpointing([]), ContinuousAdjoint([])):
        with pytest.raises(UnsupportedGradientError, match="vmap hides; solve the whole batch at once"):
            torch.func.vmap(flowing(gradient))(START)


def test_parameters_that_stand_in_for_the_fields_own_are_not_forgotten() -> None:
    """After ``functional_call`` the field has its own again, and recomputing would differentiate these."""
    field = Decay()
    rate = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)

    class Model(nn.Module):
        def __init__(self, gradient: Any) -> None:
            super().__init__()
            self.field = field
            self.gradient = gradient

        def forward(self, y: Tensor) -> Tensor:
            return odeint(self.field, y, [0.0, 1.0], gradient=self.gradient).last.sum()

    start = torch.ones(1, 1, dtype=torch.float64)
    value = torch.func.functional_call(Model(Backpropagation()), {"field.rate": rate}, (start,))
    assert torch.autograd.grad(value, rate)[0].item() == pytest.approx(-math.exp(-0.2), rel=1e-5)
    for gradient in (Checkpointing(), ContinuousAdjoint()):
        value = torch.func.functional_call(Model(gradient), {"field.rate": rate}, (start,))
        with pytest.raises(UnsupportedGradientError, match="functional_call; choose Backpropagation"):
            torch.autograd.grad(value, rate)


@pytest.mark.parametrize("make", [Checkpointing, ContinuousAdjoint])
def test_parameters_may_come_as_an_iterator(make: Any) -> None:
    """Which can be read once, and is needed at every step and in every solve."""
    field = Decay()
    gradient = make(parameters=field.parameters())
    for _ in range(2):
        solved = odeint(lambda t, y: field(t, y), START, [0.0, 1.0], gradient=gradient, rtol=1e-9, atol=1e-9)
        (found,) = torch.autograd.grad(solved.last.sum(), field.rate)
        assert found.item() == pytest.approx(-START.sum().item() * math.exp(-0.7), rel=1e-6)


@each_control
def test_what_is_computed_anew_is_computed_in_the_precision_of_before(per_sample: bool) -> None:
    """Training is autocast in the forward pass alone."""
    torch.manual_seed(0)
    field, found = Field().float(), []
    formats: set[torch.dtype] = set()
    field.net.register_forward_hook(lambda module, inputs, output: formats.add(output.dtype))
    for gradient in ALL:
        start = START.float().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            solved = odeint(
                field, start, [0.0, 1.0], gradient=gradient, per_sample=per_sample, rtol=0.1, atol=0.1
            )
        assert solved.last.dtype == torch.float32
        found += torch.autograd.grad(weigh(solved.states), start)
    assert formats == {torch.bfloat16}
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[0], found[2], atol=0.1, rtol=0.1)


def test_the_continuous_adjoint_without_an_absolute_tolerance() -> None:
    """Entries that the loss does not depend on have an adjoint of 0, and no error."""
    start = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    solved = odeint(Decay(), start, [0.0, 1.0], gradient=ContinuousAdjoint(rtol=1e-8, atol=0.0))
    (found,) = torch.autograd.grad(solved.last[0].sum(), start)
    expected = torch.tensor([[math.exp(-0.7)], [0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("norm", [root_mean_square, root_mean_square_per_sample])
def test_all_derivatives_of_a_measured_error(norm: Norm) -> None:
    error, before, after = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True).unbind(0)

    def measure(*tensors: Tensor) -> Tensor:
        return Tolerance(0.1, 0.2, norm).measure(*tensors)

    assert torch.autograd.gradcheck(measure, (error, before, after), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(measure, (error, before, after))
    nothing = torch.zeros(4, 2, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(measure(nothing, before, after).sum(), nothing, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), nothing)
    assert torch.equal(first, torch.zeros_like(first))
    assert torch.equal(second, torch.zeros_like(second))
