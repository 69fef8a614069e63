"""Models that solve differential equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

from equations import PLANE, START, FakeTask, neural_ode, step_of
from regrun.data import Batch, Images, IrregularSinusoids, Series, Spiral
from regrun.models import ODERNN, LatentODE, NeuralSDE, TrajectoryODE, TrajectorySDE
from regrun.models.dynamics import dynamics_of, solution_of
from regrun.models.neural_ode import Flattened
from regrun.models.ordinary_dynamics import OrdinaryDynamics
from regrun.models.vector_fields import TanhField, TimeLinear
from regrun.regularizers import (
    LatentKL,
    Step,
)
from regrun.solvers import Checkpointing, ContinuousAdjoint, MaxStepsError, ODESolver


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


def test_the_time_a_solve_is_given_up_is_named() -> None:
    field = TanhField(3, [4]).double()
    with pytest.raises(MaxStepsError, match=r"at t = 0"):
        OrdinaryDynamics(field, ODESolver(1e-9, 1e-9, max_steps=1))(START, (0.0, 1.0))
