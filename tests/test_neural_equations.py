"""Neural differential equations: models, what regularizes them, and what measures them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from conftest import Result, only_record
from regrun.data import Batch, Features, Images, IrregularSinusoids, Series, Spiral
from regrun.models import ODERNN, LatentODE, NeuralODE, NeuralSDE, Output, TrajectoryODE, TrajectorySDE
from regrun.models.dynamics import dynamics_of, solution_of
from regrun.models.neural_ode import Flattened
from regrun.models.ordinary_dynamics import OrdinaryDynamics
from regrun.models.vector_fields import TanhField, TimeLinear
from regrun.probes import SolverCost, SolverProfile
from regrun.record import Record
from regrun.regularizers import (
    RNODE,
    LatentKL,
    LocalError,
    Regularizer,
    SolverErrorPenalty,
    SolverStiffnessPenalty,
    Steer,
    Step,
    TayNODE,
)
from regrun.regularizers.trajectory_costs import total_derivatives
from regrun.solvers import Backpropagation, Bosh3, Checkpointing, ContinuousAdjoint, MaxStepsError, ODESolver
from regrun.solvers.stepping import Tolerance, root_mean_square, take_step

Command = Callable[..., Result]
PLANE = Features((3,))
START = torch.tensor([[0.5, -0.2, 0.1], [1.0, 0.3, -0.7]], dtype=torch.float64)


class FakeTask:
    """What regularizers and probes know of a task."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def step_of(model: nn.Module, x: Tensor, number: int = 0, epoch: int = 0) -> Step:
    output = model(x)
    batch = Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)))
    return Step(batch, output, FakeTask(model), number, epoch)  # type: ignore[arg-type]


def neural_ode(regularizer: Regularizer | None = None, **arguments: Any) -> NeuralODE:
    torch.manual_seed(0)
    model = NeuralODE(PLANE, 2, hidden=[8], solver=ODESolver(**arguments)).double()
    if regularizer is not None:
        regularizer.attach(FakeTask(model))  # type: ignore[arg-type]
    return model


class LinearField(nn.Module):
    """``f(t, u) = A u``."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return u @ self.matrix.T


# ------------------------------------------------------------------- models


def test_a_layer_with_time_is_a_linear_layer_of_the_longer_vector() -> None:
    layer = TimeLinear(3, 5).double()
    weight = torch.cat([layer.weight, layer.time_weight[:, None]], 1)
    for t in (torch.tensor(0.7, dtype=torch.float64), torch.tensor([0.1, 0.9], dtype=torch.float64)):
        longer = torch.cat([START, t.expand(2)[:, None]], 1)
        torch.testing.assert_close(layer(t, START), longer @ weight.T + layer.bias)


def test_a_neural_ode_solves_its_equation() -> None:
    model = neural_ode(rtol=1e-10, atol=1e-10)
    output = model(START)
    field = model.dynamics.field

    def derivative(t: float, y: Any) -> Any:
        state = torch.from_numpy(y).reshape(START.shape)
        with torch.no_grad():
            return field(torch.tensor(t, dtype=torch.float64), state).numpy().ravel()

    solved = solve_ivp(derivative, (0, 1), START.numpy().ravel(), "DOP853", rtol=1e-12, atol=1e-12)
    end = torch.from_numpy(solved.y[:, -1]).reshape(START.shape)
    torch.testing.assert_close(output.features, end, atol=1e-8, rtol=0)
    torch.testing.assert_close(output.logits, model.head(end), atol=1e-8, rtol=0)


def test_images_flow_as_pooled_intensities() -> None:
    images = Images((1, 4, 4), (0.3,), (0.5,))
    pixels = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    flat = Flattened(images, 2)(images.prepare(pixels), torch.float64)
    squares = pixels.double().reshape(2, 2, 2, 2, 2).mean((2, 4)) / 255
    torch.testing.assert_close(flat, squares.flatten(1), atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="reads images"):
        Flattened(Series((0.0, 1.0), 1), 1)


def test_step_sizes_per_sample_and_adjoints_change_nothing_but_the_way() -> None:
    plain = neural_ode(rtol=1e-9, atol=1e-9)
    for arguments in ({"per_sample": True}, {"gradient": Checkpointing()}, {"gradient": ContinuousAdjoint()}):
        other = neural_ode(rtol=1e-9, atol=1e-9, **arguments)
        gradients = []
        for model in (plain, other):
            model.zero_grad()
            model(START).logits.square().sum().backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-6)


def test_training_evaluations_are_counted_and_others_are_not() -> None:
    model = neural_ode()
    dynamics = dynamics_of(model)
    spent = sum(solution_of(model(START).aux).statistics.evaluations for _ in range(2))
    model.eval()
    model(START)
    assert int(dynamics.solves) == 2
    assert int(dynamics.evaluations) == spent
    assert "dynamics.evaluations" in model.state_dict()


def test_a_neural_sde_averages_probabilities_over_paths_and_evaluates_along_the_same_ones() -> None:
    torch.manual_seed(0)
    model = NeuralSDE(PLANE, 2, size=4, hidden=[4], paths=5).double().eval()
    first, second = model(START), model(START)
    torch.testing.assert_close(first.logits, second.logits, atol=0, rtol=0)
    torch.testing.assert_close(first.logits.exp().sum(1), torch.ones(2, dtype=torch.float64))
    model.train()
    assert not torch.equal(model(START).logits, model(START).logits)


def test_a_trajectory_sde_reports_moments() -> None:
    torch.manual_seed(0)
    data = Spiral(samples=1, points=3, paths=50)
    model = TrajectorySDE(data.inputs, data.classes, hidden=[4], paths=50).eval()
    output = model(torch.tensor([[2.0, 0.0]]))
    states = solution_of(output.aux).states[1:]
    torch.testing.assert_close(output.logits[0], torch.cat([states.mean(1), states.var(1)], -1))


def test_a_trajectory_ode_can_be_the_true_spiral() -> None:
    data = Spiral(samples=4, points=5, noise=0.0)
    train = data.load(Path(), 0).train
    model = TrajectoryODE(data.inputs, 2, solver=ODESolver(1e-9, 1e-9)).double()
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)

    class Cubes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, t: Tensor, u: Tensor) -> Tensor:
            return u**3 @ matrix.T

    model.dynamics.field = Cubes()
    torch.testing.assert_close(model(train.x).logits.float(), train.y, atol=1e-6, rtol=0)


def test_a_latent_ode_reads_only_what_is_observed_and_its_divergence_is_that_of_normals() -> None:
    torch.manual_seed(0)
    data = IrregularSinusoids(samples=3, test_samples=1, points=6)
    model = LatentODE(data.inputs, 1, latent=2, hidden=4, pairs=1, encoder=3).eval()
    x = data.load(Path(), 0).train.x
    output = model(x)
    assert output.logits.shape == (3, 6, 1)
    gaps = model.gaps.expand(3, -1, 1)
    mean, log_variance = model.guess(model.encoder(torch.cat([x, gaps], -1).flip(1))[1][0]).chunk(2, 1)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    divergence = torch.distributions.kl_divergence(normal, standard).sum(1)
    torch.testing.assert_close(output.aux["kl"], divergence)
    penalty = LatentKL(rate=0.9, delay=2, scale=0.5)
    step = Step(Batch(x, x, torch.arange(3)), output, FakeTask(model), 0, 5)  # type: ignore[arg-type]
    torch.testing.assert_close(penalty.penalty(step), (1 - 0.9**3) * 0.5 * divergence.mean())
    early = Step(step.batch, output, FakeTask(model), 0, 1)  # type: ignore[arg-type]
    assert float(penalty.penalty(early).detach()) == 0
    with pytest.raises(ValueError, match="choose model=latent_ode"):
        penalty.penalty(step_of(neural_ode(), START))


def test_an_ode_rnn_predicts_what_it_has_not_seen() -> None:
    """A change of an observation changes later predictions only."""
    torch.manual_seed(0)
    data = IrregularSinusoids(samples=1, test_samples=1, points=6, observed=0.9)
    model = ODERNN(data.inputs, 1, state=3, hidden=[4])
    x = data.load(Path(), 0).train.x
    x[:, 3, 1] = 1
    other = x.clone()
    other[:, 3, 0] += 1
    before, after = model(x), model(other)
    assert torch.equal(before.logits[:, :4], after.logits[:, :4])
    assert (before.logits[:, 4:] != after.logits[:, 4:]).all()
    seen = solution_of(before.aux)
    torch.testing.assert_close(seen.times, torch.tensor(data.inputs.times, dtype=torch.float64))
    assert int(model.dynamics.solves) == 2
    assert int(model.dynamics.evaluations) == int(seen.statistics.evaluations) * 2


# --------------------------------------------------------------- regularizers


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


@pytest.mark.parametrize("gradient", [Backpropagation(), Checkpointing(), ContinuousAdjoint()])
def test_the_local_error_works_with_every_adjoint(gradient: Any) -> None:
    penalty = LocalError()
    model = neural_ode(penalty, gradient=gradient)
    step = step_of(model, START)
    (step.output.logits.sum() + penalty.penalty(step)).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


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


def linear_model(matrix: Tensor, regularizer: Regularizer) -> NeuralODE:
    model = neural_ode(regularizer, rtol=1e-10, atol=1e-10)
    model.dynamics.field = LinearField(matrix)
    return model


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


# --------------------------------------------------------------------- probes


def test_the_cost_probe_counts_what_the_field_is_called() -> None:
    model = neural_ode()
    calls = 0

    def count(*arguments: Any) -> None:
        nonlocal calls
        calls += 1

    model.dynamics.field.register_forward_hook(count)
    probe = SolverCost()
    model.train()
    model(START)
    model(START)
    trained, calls = calls, 0
    model.eval()
    batch = Batch(START, torch.zeros(2), torch.arange(2))
    output = model(START)
    probe.update(batch, output, batch.y)
    found = probe.compute(FakeTask(model))  # type: ignore[arg-type]
    assert found["test_nfe"] == calls
    assert found["train_nfe"] == trained / 2
    seen = solution_of(output.aux).statistics
    assert found["stiffness"] == float(seen.stiffness.max())
    assert found["solver_error"] == pytest.approx(float((seen.error * seen.h).mean()))
    probe.update(batch, model(START), batch.y)
    assert math.isnan(probe.compute(FakeTask(model))["train_nfe"])  # type: ignore[arg-type]


def test_the_profile_probe_reads_the_step_at_each_time() -> None:
    model = linear_model(-0.5 * torch.eye(3, dtype=torch.float64), SolverErrorPenalty()).eval()
    probe = SolverProfile(points=4)
    output: Output = model(START)
    probe.update(Batch(START, START, torch.arange(2)), output, START)
    found = probe.compute(FakeTask(model))  # type: ignore[arg-type]
    assert {name.split("/")[0] for name in found} == set(probe.metrics)
    assert [name.split("/")[1] for name in found if name.startswith("step_size")] == [
        "0.125",
        "0.375",
        "0.625",
        "0.875",
    ]
    seen = solution_of(output.aux)
    segment = seen.segment(0.375)
    assert found["step_size/0.375"] == segment.h
    assert found["local_stiffness/0.375"] == pytest.approx(0.5, rel=1e-5)
    ahead = START * math.exp(-0.5 * (segment.t + segment.h))
    assert found["flow_distance/0.375"] == pytest.approx(
        float((ahead - START).square().mean().sqrt()), rel=1e-6
    )


# ----------------------------------------------------------------------- runs

ADJOINT = "model.solver.gradient._target_=regrun.solvers.ContinuousAdjoint"
TINY = (
    *("experiment=custom", "dataset=irregular_sinusoids", "dataset.samples=4", "dataset.test_samples=4"),
    *("model=latent_ode", "model.solver.rtol=1e-3", "model.solver.atol=1e-3", "dataset.points=5"),
    *("steps=4", "eval_every=2", "batch_size=2", "logger=csv"),
)


def test_a_run_on_series_reports_their_scores(regrun: Command, tmp_path: Path) -> None:
    result = regrun(*TINY, "regularizer=[latent_kl,solver_error]", "probe=[solver_cost,solver_profile]")
    assert result.code == 0, result.err
    metrics = Record(only_record(tmp_path)).result()["metrics"]
    assert {"train_loss", "test_loss", "test_mse", "test_nfe", "train_nfe", "stiffness"} <= metrics.keys()
    assert metrics["test_loss"] == pytest.approx(metrics["test_mse"] / (2 * 0.1**2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.solver.max_steps=1",), "1 steps did not reach the end"),
        ((ADJOINT, "regularizer=solver_error"), "regularizer=local_error"),
        (("model=neural_ode",), "reads images"),
        (("experiment=grokking", "model=latent_ode"), "choose dataset=irregular_sinusoids"),
        (("experiment=grokking", "regularizer=steer"), "choose model=neural_ode"),
        ((f"{ADJOINT}s",), "no 'ContinuousAdjoints' in regrun.solvers"),
        (("regularizer=solver_error", "regularizer.solver_error.initial=-1"), "above 0"),
    ],
)
def test_mistakes_are_one_line(regrun: Command, words: tuple[str, ...], message: str) -> None:
    result = regrun(*(() if "experiment=grokking" in words else TINY), *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_the_time_a_solve_is_given_up_is_named() -> None:
    field = TanhField(3, [4]).double()
    with pytest.raises(MaxStepsError, match=r"at t = 0"):
        OrdinaryDynamics(field, ODESolver(1e-9, 1e-9, max_steps=1))(START, (0.0, 1.0))


def test_forward_differentiation_does_not_warn_of_torch(regrun_afresh: Command) -> None:
    result = regrun_afresh(*TINY, "regularizer=[latent_kl,taynode]")
    assert result.code == 0, result.err
    assert "Warning" not in result.err
