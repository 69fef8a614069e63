"""What regularizes differential equations: penalties on the solver, on the trajectory, and on its end."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equations import PLANE, START, FakeTask, linear_model, neural_ode, step_of
from regrun.models import NeuralSDE
from regrun.models.dynamics import solution_of
from regrun.regularizers import (
    RNODE,
    LocalError,
    Regularizer,
    SolverErrorPenalty,
    SolverStiffnessPenalty,
    Steer,
    TayNODE,
)
from regrun.regularizers.trajectory_costs import total_derivatives
from regrun.solvers import Backpropagation, Bosh3, Checkpointing, ContinuousAdjoint
from regrun.solvers.stepping import take_step
from regrun.solvers.tolerance import Tolerance, root_mean_square


@pytest.mark.parametrize("make", [SolverErrorPenalty, SolverStiffnessPenalty, LocalError])
def test_annealed_weights(make: type[SolverErrorPenalty]) -> None:
    penalty = make(initial=10.0, final=1.0, steps=100)
    assert penalty.weight(0) == 10
    assert penalty.weight(50) == pytest.approx(10 * math.exp(-0.5 * math.log(10)))
    assert penalty.weight(100) == penalty.weight(200) == pytest.approx(1)
    assert make(initial=3.0, final=None, steps=5).weight(4) == 3
    assert make(initial=0.0, final=0.0, steps=5).weight(4) == 0
    with pytest.raises(ValueError, match="above 0, or both 0"):
        make(initial=1.0, final=0.0, steps=5)


def test_error_and_stiffness_penalties_are_those_of_the_accepted_steps() -> None:
    for per_sample in (False, True):
        error, stiffness = SolverErrorPenalty(initial=2.0), SolverStiffnessPenalty(initial=3.0)
        model = neural_ode(error, per_sample=per_sample)
        stiffness.attach(FakeTask(model))  # type: ignore[arg-type]
        step = step_of(model, START)
        seen = solution_of(step.output.aux).statistics
        taken = seen.taken
        expected = 2 * (seen.error[taken] * seen.h[taken]).mean()
        torch.testing.assert_close(error.penalty(step), expected)
        torch.testing.assert_close(stiffness.penalty(step), 3 * seen.stiffness[taken].max() / 3.5068)
        for penalty in (error, stiffness):
            found = torch.autograd.grad(
                penalty.penalty(step), model.dynamics.field.layers[0].weight, retain_graph=True
            )
            assert found[0].abs().sum() > 0


def test_the_penalties_make_a_field_easier() -> None:
    """Descent on each penalty alone lowers the evaluations, or the stiffness."""
    for penalty in (SolverErrorPenalty(), SolverStiffnessPenalty(), LocalError()):
        model = neural_ode(penalty, rtol=1e-8, atol=1e-8)
        with torch.no_grad():
            for layer in model.dynamics.field.layers:
                layer.weight.mul_(4)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        seen = []
        for _ in range(100):
            step = step_of(model, START)
            found = solution_of(step.output.aux).statistics
            stiffness = float(found.stiffness.detach().max())
            seen.append(stiffness if isinstance(penalty, SolverStiffnessPenalty) else found.evaluations)
            optimizer.zero_grad()
            penalty.measure(step).backward()
            optimizer.step()
        assert seen[-1] < 0.8 * seen[0]


def test_the_local_error_is_that_of_one_step_and_stops_at_its_state() -> None:
    penalty = LocalError(initial=1.0, final=None)
    model = neural_ode(penalty)
    step = step_of(model, START.clone().requires_grad_())
    torch.manual_seed(3)
    t, h, y = penalty.draw(solution_of(step.output.aux))
    torch.manual_seed(3)
    value = penalty.measure(step)
    field, tolerance = model.dynamics.field, Tolerance(1e-6, 1e-6, root_mean_square)
    y = y.detach()
    method, first = model.dynamics.solver.method, field(torch.tensor(t), y)
    by_hand = take_step(field, method, t, h, y, first, tolerance, True)
    torch.testing.assert_close(value, by_hand.error * h)
    (through,) = torch.autograd.grad(value, step.batch.x, allow_unused=True)
    assert through is None
    found = torch.autograd.grad(penalty.measure(step), model.dynamics.field.layers[1].weight)[0]
    assert found.abs().sum() > 0


def test_where_the_local_error_is_measured() -> None:
    """Uniformly over the interval, or among the ends of the accepted steps, each as often."""
    unbiased, biased = LocalError(), LocalError(biased=True)
    model = neural_ode(unbiased, first_step=0.01)
    solution = solution_of(step_of(model, START).output.aux)
    ends = [round(segment.t, 9) for segment in solution.segments] + [1.0]
    torch.manual_seed(0)
    draws = [biased.draw(solution) for _ in range(2000)]
    counts = Counter(round(t, 9) for t, _, _ in draws)
    assert set(counts) == set(ends)
    assert all(abs(count - 2000 / len(ends)) < 5 * math.sqrt(2000 / len(ends)) for count in counts.values())
    for t, h, y in draws[:50]:
        torch.testing.assert_close(y, solution.at(t), atol=1e-12, rtol=0)
        assert h in solution.statistics.h
    times = torch.tensor([unbiased.draw(solution)[0] for _ in range(2000)])
    shares = torch.histc(times, 4, 0, 1) / 2000
    assert (shares - 0.25).abs().max() < 0.05


@pytest.mark.parametrize(("gradient", "rtol"), [(Checkpointing(), 1e-9), (ContinuousAdjoint(), 1e-2)])
def test_the_local_error_has_the_same_gradient_with_every_adjoint(gradient: Any, rtol: float) -> None:
    def gradients(gradient: Any) -> Tensor:
        torch.manual_seed(0)
        penalty = LocalError()
        model = neural_ode(penalty, gradient=gradient).double()
        penalty.penalty(step_of(model, START.double())).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    wanted = gradients(Backpropagation())
    assert float((gradients(gradient) - wanted).norm() / wanted.norm()) < rtol


def test_the_local_error_of_a_stochastic_equation() -> None:
    torch.manual_seed(0)
    for biased in (False, True):
        model = NeuralSDE(PLANE, 2, size=4, hidden=[4]).double()
        penalty = LocalError(biased=biased)
        penalty.attach(FakeTask(model))  # type: ignore[arg-type]
        penalty.penalty(step_of(model, START)).backward()
        assert model.dynamics.drift.layers[0].weight.grad.abs().sum() > 0


def test_steer_moves_the_end_and_keeps_the_order() -> None:
    steer = Steer(0.5)
    model = neural_ode(steer)
    torch.manual_seed(0)
    ends = torch.tensor([float(solution_of(model(START).aux).times[-1]) for _ in range(200)])
    assert ends.min() > 0.5
    assert ends.max() < 1.5
    assert abs(float(ends.mean()) - 1) < 0.08
    assert abs(float(ends.var()) - 1 / 12) < 0.03
    model.eval()
    assert float(solution_of(model(START).aux).times[-1]) == 1
    for _ in range(100):
        moved = steer.jitter([0.0, 0.1, 0.2, 0.9, 1.0])
        assert moved[0] == 0
        assert moved == sorted(moved)


def test_total_derivatives_against_closed_forms() -> None:
    """Of ``u' = t u``, whose solution is ``exp(t^2 / 2)``."""
    t = torch.tensor(0.8, dtype=torch.float64)
    factors = {2: 1 + t**2, 3: 3 * t + t**3, 4: 3 + 6 * t**2 + t**4}
    for order, factor in factors.items():
        slope, highest = total_derivatives(lambda t, u: t * u, t, START, order)
        torch.testing.assert_close(slope, t * START)
        torch.testing.assert_close(highest, factor * START)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_taynode_integrates_the_squared_derivative(order: int) -> None:
    rate = 0.7
    penalty = TayNODE(order, weight=2.0)
    model = linear_model(rate * torch.eye(3, dtype=torch.float64), penalty)
    value = penalty.penalty(step_of(model, START))
    growth = (math.exp(2 * rate) - 1) / (2 * rate)
    expected = 2 * rate ** (2 * order) * growth * START.square().sum(1).mean()
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=0)
    value.backward()
    assert model.dynamics.field.matrix.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="2, 3 or 4"):
        TayNODE(order=5)


def test_rnode_integrates_speed_and_jacobian() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(3, 3, dtype=torch.float64)
    kinetic = RNODE(kinetic=1.0, jacobian=0.0)
    model = linear_model(matrix, kinetic)
    value = kinetic.penalty(step_of(model, START))
    times = torch.linspace(0, 1, 2001, dtype=torch.float64)
    speeds = torch.stack([(START @ torch.matrix_exp(matrix * t).T @ matrix.T).square().sum(1) for t in times])
    torch.testing.assert_close(value, torch.trapezoid(speeds, times, dim=0).mean(), rtol=1e-5, atol=0)
    jacobian = RNODE(kinetic=0.0, jacobian=1.0)
    model = linear_model(matrix, jacobian)
    with torch.no_grad():
        values = torch.stack([jacobian.penalty(step_of(model, START)) for _ in range(500)])
    frobenius = matrix.square().sum()
    assert abs(values.mean() - frobenius) < 4 * values.std() / math.sqrt(500)
    assert values.std() > 0


def test_a_running_cost_has_no_influence_on_the_steps() -> None:
    plain, with_cost = neural_ode(), neural_ode(TayNODE())
    one, other = (solution_of(model(START).aux) for model in (plain, with_cost))
    torch.testing.assert_close(one.statistics.h, other.statistics.h, atol=1e-12, rtol=0)
    torch.testing.assert_close(one.last, other.last[:, :3], atol=1e-12, rtol=0)
    with_cost.eval()
    assert solution_of(with_cost(START).aux).last.shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (SolverErrorPenalty, {"gradient": ContinuousAdjoint()}, "regularizer=local_error"),
        (SolverStiffnessPenalty, {"method": Bosh3()}, "choose Tsit5"),
        (TayNODE, {"per_sample": True}, "per_sample=false"),
        (RNODE, {"gradient": ContinuousAdjoint()}, "Backpropagation"),
        (LocalError, {"per_sample": True}, "per_sample=false"),
    ],
)
def test_what_does_not_go_together_is_said_before_training(
    make: type[Regularizer], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        neural_ode(make(), **arguments)
    with pytest.raises(ValueError, match="choose model=neural_ode"):
        make().attach(FakeTask(nn.Linear(2, 2)))  # type: ignore[arg-type]
