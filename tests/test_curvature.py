"""Products with curvature matrices, and spectra from them, against dense computation on small networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call

from regrun.contracts.output import as_output
from regrun.data import Batch, Classification, Features, Regression, Samples, Splits, Tokens
from regrun.measures import (
    Landscape,
    hutchinson,
    lanczos,
    measuring,
    random_signs,
    spectral_density,
    top_eigenvalues,
)
from regrun.models import MLP, NeuralODE, Quadratic, SmallTransformer
from regrun.probes import (
    BlockGradients,
    GaussNewtonSpectrum,
    GradientNoise,
    HessianDensity,
    HessianSpectrum,
    ProbeError,
    WeightGeometry,
)
from regrun.probes.base import Trial
from regrun.solvers import Backpropagation, Checkpointing, ContinuousAdjoint, ODESolver


@contextmanager
def landscape(model: nn.Module, x: Tensor, y: Tensor, loss: object = None) -> Iterator[Landscape]:
    batch = Batch(x, y, torch.arange(len(x)))
    with measuring(model):
        yield Landscape(model, loss or Classification().loss, batch)  # type: ignore[arg-type]


def small(seed: int = 0, activation: str = "tanh") -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(seed)
    model = MLP(Features((3,)), 3, hidden=(5, 4), activation=activation).double()
    return model, torch.randn(12, 3).double(), torch.randint(3, (12,))


def dense(scape: Landscape) -> tuple[Tensor, Tensor]:
    """Hessian and Gauss-Newton matrix by torch.func, from the flat vector of weights."""
    names = list(scape.parameters)
    shapes = [scape.parameters[name].shape for name in names]
    flat = torch.cat([scape.parameters[name].detach().reshape(-1) for name in names])

    def outputs(w: Tensor) -> Tensor:
        parts = w.split([shape.numel() for shape in shapes])
        weights = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return as_output(functional_call(scape.model, weights, (scape.batch.x,))).logits

    def loss(z: Tensor) -> Tensor:
        return scape.loss(as_output(z), scape.batch)

    hessian = torch.func.hessian(lambda w: loss(outputs(w)))(flat)
    jacobian = torch.func.jacrev(outputs)(flat).flatten(0, -2)
    z = outputs(flat)
    inner = torch.func.hessian(loss)(z).reshape(z.numel(), z.numel())
    return hessian, jacobian.T @ inner @ jacobian


@pytest.mark.parametrize("seed", [0, 1])
def test_products_are_those_of_the_dense_matrices(seed: int) -> None:
    with landscape(*small(seed)) as scape:
        hessian, gauss_newton = dense(scape)
        v = torch.randn(scape.size, dtype=torch.float64)
        torch.testing.assert_close(scape.hessian_vector(v), hessian @ v)
        torch.testing.assert_close(scape.gauss_newton_vector(v), gauss_newton @ v)
        assert torch.linalg.eigvalsh(gauss_newton).min() > -1e-12


def test_products_through_look_ups_and_attention() -> None:
    torch.manual_seed(0)
    quadratic = Quadratic(Tokens(5, 2), 5, hidden=4).double()
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    gpt = SmallTransformer(Tokens(5, 2), 5, width=8, heads=2, layers=1).double()

    def last(output: object, batch: Batch) -> Tensor:
        z = as_output(output).logits  # type: ignore[arg-type]
        return nn.functional.cross_entropy(z[:, -1] if z.ndim == 3 else z, batch.y)

    for model in (quadratic, gpt):
        with landscape(model, pairs, pairs.sum(1) % 5, last) as scape:
            v = torch.randn(scape.size, dtype=torch.float64)
            hessian = scape.hessian_vector(v)
            # Against central differences of the gradient.
            weights = [p for p in model.parameters() if p.requires_grad]
            found = []
            for sign in (1, -1):
                with torch.no_grad():
                    for w, part in zip(weights, scape.parts(v), strict=True):
                        w += sign * 1e-6 * part
                again = Landscape(model, last, scape.batch)
                found.append(again.gradient())
                with torch.no_grad():
                    for w, part in zip(weights, scape.parts(v), strict=True):
                        w -= sign * 1e-6 * part
            torch.testing.assert_close(hessian, (found[0] - found[1]) / 2e-6, atol=1e-7, rtol=1e-5)
            if model is quadratic:
                _, gauss_newton = dense(scape)
                torch.testing.assert_close(scape.gauss_newton_vector(v), gauss_newton @ v)


def test_a_linear_least_squares_problem_has_its_known_hessian() -> None:
    x, y = torch.randn(20, 4).double(), torch.randn(20, 2).double()
    model = nn.Linear(4, 2, bias=False).double()
    with landscape(model, x, y, Regression().loss) as scape:
        expected = torch.block_diag(*[x.T @ x / 20] * 2)  # the mean over 20 x 2 entries, times 2
        identity = torch.eye(8, dtype=torch.float64)
        for product in (scape.hessian_vector, scape.gauss_newton_vector):
            torch.testing.assert_close(torch.stack([product(v) for v in identity]), expected)


def test_sample_gradients_have_the_gradient_as_their_mean() -> None:
    with landscape(*small()) as scape:
        rows = scape.sample_gradients(chunk=5)
        assert rows.shape == (12, scape.size)
        torch.testing.assert_close(rows.mean(0), scape.gradient())


def test_lanczos_finds_the_ends_of_a_spectrum_as_arpack_does() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(200, 200, generator=generator, dtype=torch.float64)
    a = a @ a.T / 200 - 0.5 * torch.eye(200, dtype=torch.float64)
    start = torch.randn(200, generator=generator, dtype=torch.float64)
    values, vectors = top_eigenvalues(lambda v: a @ v, start, 3, 80)
    product = LinearOperator((200, 200), matvec=lambda v: a.numpy() @ v, dtype=float)
    expected = eigsh(product, k=3, which="LA", v0=start.numpy(), return_eigenvectors=False)
    np.testing.assert_allclose(values.numpy(), expected[::-1], rtol=1e-6)
    torch.testing.assert_close(a @ vectors[:, :1], values[0] * vectors[:, :1], atol=1e-5, rtol=1e-5)


def test_lanczos_ends_where_the_krylov_space_does() -> None:
    a = torch.diag(torch.tensor([3.0, 3.0, -1.0, -1.0, 0.5], dtype=torch.float64))
    found = lanczos(lambda v: a @ v, torch.ones(5, dtype=torch.float64), 5)
    torch.testing.assert_close(found.values, torch.tensor([-1.0, 0.5, 3.0], dtype=torch.float64))
    torch.testing.assert_close(found.weights, torch.tensor([0.4, 0.2, 0.4], dtype=torch.float64))


def symmetric(eigenvalues: list[float], seed: int) -> Tensor:
    """A matrix with these eigenvalues, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), generator=generator).double())[
        0
    ]
    return rotation @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ rotation.T


class Counted:
    """Products with a matrix, and how many there were."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.products = 0

    def __call__(self, v: Tensor) -> Tensor:
        self.products += 1
        return self.matrix @ v


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [5.0, 5.0, 5.0, 2.0, 1.0],
        [3.0, 3.0, 3.0, 1.0, 0.0, 0.0],
        [0.0] * 4,
        [1.0] * 6,
        [-1.0] * 3 + [-2.0] * 3,
        [4.0, 2.0, 2.0, 2.0, -7.0, -7.0],
        [1.0, 2.0],
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_multiple_eigenvalues_come_as_often_as_they_are(eigenvalues: list[float], turned: bool) -> None:
    a = symmetric(eigenvalues, 0) if turned else torch.diag(torch.tensor(eigenvalues, dtype=torch.float64))
    expected = torch.linalg.eigvalsh(a).flip(0)
    for count in (1, 2, 3):
        start = torch.randn(len(a), generator=torch.Generator().manual_seed(count)).double()
        values, vectors = top_eigenvalues(lambda v: a @ v, start, count, len(a))
        torch.testing.assert_close(values, expected[:count], atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(a @ vectors, vectors * values, atol=1e-10, rtol=0)
        torch.testing.assert_close(vectors.T @ vectors, torch.eye(len(values)).double(), atol=1e-10, rtol=0)


@given(
    distinct=st.lists(st.integers(-4, 4), min_size=1, max_size=4),
    copies=st.integers(1, 4),
    count=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_top_eigenvalues_are_those_of_the_dense_matrix(
    distinct: list[int], copies: int, count: int, seed: int
) -> None:
    a = symmetric([float(value) for value in distinct for _ in range(copies)], seed)
    start = torch.randn(len(a), generator=torch.Generator().manual_seed(seed)).double()
    values, _ = top_eigenvalues(lambda v: a @ v, start, count, max(count, len(a)))
    torch.testing.assert_close(values, torch.linalg.eigvalsh(a).flip(0)[:count], atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("copies", [1, 2, 3, 5])
def test_copies_are_found_among_many_other_eigenvalues_within_few_products(
    copies: int, dtype: torch.dtype
) -> None:
    """Of three outliers over a continuum, for which the products are by far too few to exhaust the space."""
    bulk = torch.linspace(-1, 2, 395, dtype=torch.float64).tolist()
    outliers = [10.0] * copies + [8.0] * (5 - copies)
    product = Counted(symmetric([*outliers, *bulk], 1).to(dtype))
    start = torch.randn(400, generator=torch.Generator().manual_seed(0)).to(dtype)
    values, _ = top_eigenvalues(product, start, 3, 20)
    expected = torch.tensor(outliers[:3], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=0)
    assert product.products <= 40


def test_simple_eigenvalues_that_stand_out_cost_few_products_more() -> None:
    bulk = torch.linspace(-1, 2, 395, dtype=torch.float64).tolist()
    product = Counted(symmetric([10.0, 9.0, 7.0, 6.0, 5.0, *bulk], 2))
    start = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    for count, most in ((1, 20), (3, 30)):
        product.products = 0
        values, _ = top_eigenvalues(product, start, count, 20)
        torch.testing.assert_close(values, torch.tensor([10.0, 9.0, 7.0]).double()[:count], rtol=1e-6, atol=0)
        assert product.products <= most


def test_a_matrix_that_is_not_finite_has_no_spectrum() -> None:
    values, vectors = top_eigenvalues(lambda v: v * torch.nan, torch.ones(5), 2, 4)
    assert values.isnan().all()
    assert (values.shape, vectors.shape) == ((2,), (5, 2))
    values, weights = spectral_density(lambda v: v * torch.inf, torch.ones(2, 5), 4)
    assert values.isnan().all()
    assert weights.isnan().all()


def test_the_density_has_the_moments_of_the_spectrum() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    a = (a + a.T) / 2
    signs = random_signs(400, 60, a, generator)
    values, weights = spectral_density(lambda v: a @ v, signs, 12)
    eigenvalues = torch.linalg.eigvalsh(a)
    assert float(weights.sum()) == pytest.approx(1)
    for power in (1, 2, 3, 4):
        expected = float((eigenvalues**power).mean())
        scale = float(eigenvalues.abs().pow(power).mean())
        assert float(weights @ values**power) == pytest.approx(expected, abs=0.05 * scale)
    trace, square = hutchinson(lambda v: a @ v, signs)
    spread = float(a.norm()) * (2 / 400) ** 0.5
    assert float(trace) == pytest.approx(float(a.trace()), abs=4 * spread)
    assert float(square) == pytest.approx(float(a.square().sum()), rel=0.1)


class TaskOf:
    """As much of a task as probes look at."""

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, lr: float = 0.5) -> None:
        samples = Samples(x, y, y)
        self.model, self.splits = model, Splits(samples, samples)
        self.inputs, self.criterion = Features((x.shape[1],)), Classification()
        self.classes, self.train_samples = 3, len(x)
        self.optimizer = SimpleNamespace(param_groups=[{"lr": lr}])

    def splits_on_device(self) -> Splits:
        return self.splits


def test_the_probes_report_the_dense_spectrum() -> None:
    model, x, y = small()
    task = TaskOf(model, x, y)
    with landscape(model, x, y) as scape:
        hessian, gauss_newton = dense(scape)
    top = torch.linalg.eigvalsh(hessian).flip(0)
    size = len(hessian)
    row = HessianSpectrum(samples=12, eigenvalues=3, iterations=size, vectors=2000).compute(task)  # type: ignore[arg-type]
    assert float(row["sharpness"]) == pytest.approx(float(top[0]))
    assert float(row["hessian_eigenvalue/rank=3"]) == pytest.approx(float(top[2]))
    assert float(row["edge_of_stability"]) == pytest.approx(float(top[0]) / 4)
    assert float(row["hessian_trace"]) == pytest.approx(float(hessian.trace()), abs=0.1)
    row = GaussNewtonSpectrum(samples=12, eigenvalues=1, iterations=size, vectors=0).compute(task)  # type: ignore[arg-type]
    assert float(row["gauss_newton_eigenvalue/rank=1"]) == pytest.approx(
        float(torch.linalg.eigvalsh(gauss_newton)[-1])
    )
    assert "gauss_newton_trace" not in row
    probe = HessianDensity(samples=12, vectors=60, iterations=size, smallest=-3, largest=1)
    row = probe.compute(task)  # type: ignore[arg-type]
    negative = float((top < -top[0] / 100).double().mean())
    assert float(row["negative_curvature"]) == pytest.approx(negative, abs=0.05)
    assert sum(float(v) for k, v in row.items() if "/" in k) == pytest.approx(1)


def test_probes_of_a_network_that_has_diverged_say_so() -> None:
    model, x, y = small()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    for probe in (HessianSpectrum(), GaussNewtonSpectrum(), HessianDensity()):
        row = probe.compute(TaskOf(model, x, y))  # type: ignore[arg-type]
        assert all(torch.as_tensor(value).isnan() for value in row.values())


def test_the_spectrum_of_a_linear_network_has_an_eigenvalue_for_each_output() -> None:
    """Its Hessian is as many times the same block."""
    torch.manual_seed(0)
    x, y = torch.randn(50, 6).double(), torch.randn(50, 3).double()
    task = TaskOf(nn.Linear(6, 3, bias=False).double(), x, y)
    task.criterion = Regression()
    expected = float(torch.linalg.eigvalsh(2 * x.T @ x / 150)[-1])
    for probe in (HessianSpectrum(samples=50), GaussNewtonSpectrum(samples=50)):
        row = probe.compute(task)  # type: ignore[arg-type]
        values = [float(value) for name, value in row.items() if "/rank=" in name]
        assert values == pytest.approx([expected] * 3)


@pytest.mark.parametrize("gradient", [Backpropagation(), Checkpointing()], ids=lambda g: type(g).__name__)
@pytest.mark.parametrize("per_sample", [False, True])
def test_the_spectrum_of_a_network_that_solves_an_equation(gradient: Any, per_sample: bool) -> None:
    """Against the Jacobian of its gradient, by backpropagation and by finite differences."""
    model, task, trial = equation(gradient, per_sample)
    HessianSpectrum().attach(task, trial)  # type: ignore[arg-type]
    row = HessianSpectrum(samples=6, eigenvalues=2, iterations=30, vectors=0).compute(task)  # type: ignore[arg-type]
    weights = [p for p in model.parameters() if p.requires_grad]

    def slope() -> Tensor:
        loss = task.criterion.loss(
            model(task.splits.train.x), Batch(task.splits.train.x, task.splits.train.y, None)
        )  # type: ignore[arg-type]
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, weights)])

    columns = []
    for w in weights:
        for k in range(w.numel()):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    w.view(-1)[k] += sign * 1e-5
                ends.append(slope())
                with torch.no_grad():
                    w.view(-1)[k] -= sign * 1e-5
            columns.append((ends[0] - ends[1]) / 2e-5)
    top = torch.linalg.eigvalsh(torch.stack(columns)).flip(0)
    assert float(row["sharpness"]) == pytest.approx(float(top[0]), rel=1e-4)
    assert float(row["hessian_eigenvalue/rank=2"]) == pytest.approx(float(top[1]), rel=1e-4)


def test_the_gauss_newton_matrix_of_a_network_that_solves_an_equation() -> None:
    """By forward differentiation through the solver; at a loss of 0 it is the Hessian."""
    model, task, trial = equation(Backpropagation(), False)
    task.criterion = Regression()
    x = task.splits.train.x
    samples = Samples(x, model(x).logits.detach(), model(x).logits.detach())
    task.splits = Splits(samples, samples)
    options = {"samples": 6, "eigenvalues": 2, "iterations": 30, "vectors": 4}
    GaussNewtonSpectrum().attach(task, trial)  # type: ignore[arg-type]
    ours = GaussNewtonSpectrum(**options).compute(task)  # type: ignore[arg-type]
    hessian = HessianSpectrum(**options).compute(task)  # type: ignore[arg-type]
    for rank in (1, 2):
        assert float(ours[f"gauss_newton_eigenvalue/rank={rank}"]) == pytest.approx(
            float(hessian[f"hessian_eigenvalue/rank={rank}"]), rel=1e-5
        )
    assert float(ours["gauss_newton_trace"]) == pytest.approx(float(hessian["hessian_trace"]), rel=1e-5)


def test_second_derivatives_that_a_solver_does_not_have_are_refused_before_training() -> None:
    _, task, trial = equation(ContinuousAdjoint(), False)
    for probe in (HessianSpectrum(), HessianDensity()):
        with pytest.raises(ProbeError, match="ContinuousAdjoint has no second derivatives; choose Backprop"):
            probe.attach(task, trial)  # type: ignore[arg-type]
    for gradient in (Checkpointing(), ContinuousAdjoint()):
        _, task, trial = equation(gradient, False)
        with pytest.raises(ProbeError, match=r"forward differentiation.*choose Backpropagation"):
            GaussNewtonSpectrum().attach(task, trial)  # type: ignore[arg-type]


def equation(gradient: Any, per_sample: bool) -> tuple[nn.Module, TaskOf, Trial]:
    """A small neural ODE, its task and its output."""
    torch.manual_seed(0)
    solver = ODESolver(1e-7, 1e-7, gradient=gradient, per_sample=per_sample)
    model = NeuralODE(Features((2,)), 2, hidden=[3], solver=solver).double().eval()
    x, y = torch.randn(6, 2).double(), torch.randint(2, (6,))
    return model, TaskOf(model, x, y), Trial(model(x), "64-true")


def test_gradient_noise_against_dense_matrices() -> None:
    model, x, y = small()
    with landscape(model, x, y) as scape:
        hessian, _ = dense(scape)
        rows = scape.sample_gradients()
    noise = rows - rows.mean(0)
    covariance = noise.T @ noise / len(noise)
    probe = GradientNoise(samples=12, directions=4, vectors=3000)
    row = probe.compute(TaskOf(model, x, y))  # type: ignore[arg-type]
    assert float(row["gradient_noise"]) == pytest.approx(float(covariance.trace()))
    assert float(row["noise_scale"]) == pytest.approx(float(covariance.trace() / rows.mean(0).square().sum()))
    cosine = (covariance * hessian).sum() / (covariance.norm() * hessian.norm())
    assert float(row["noise_alignment"]) == pytest.approx(float(cosine), abs=0.05)
    leading = torch.linalg.eigh(hessian).eigenvectors[:, -4:]
    share = (leading.T @ covariance @ leading).trace() / covariance.trace()
    assert float(row["noise_in_top_curvature"]) == pytest.approx(float(share), rel=1e-3)


def test_block_gradients_lie_between_those_of_samples_and_of_all() -> None:
    model, x, y = small()
    with landscape(model, x, y) as scape:
        rows = scape.sample_gradients()
    row = BlockGradients(samples=12, block=3).compute(TaskOf(model, x, y))  # type: ignore[arg-type]
    blocks = rows.view(3, 4, -1).mean(0).square().sum(1).mean()
    assert float(row["block_gradient"]) == pytest.approx(float(blocks))
    assert float(row["full_gradient"]) == pytest.approx(float(rows.mean(0).square().sum()))


def test_second_derivatives_are_refused_in_reduced_precision() -> None:
    model, x, y = small()
    trial = Trial(as_output(model(x)), "bf16-true")
    for probe in (HessianSpectrum(), GaussNewtonSpectrum(), HessianDensity(), GradientNoise()):
        with pytest.raises(
            ProbeError, match=r"full precision.*bf16-true.*trainer\.precision=bf16-mixed or 32-true"
        ):
            probe.attach(TaskOf(model, x, y), trial)  # type: ignore[arg-type]


def test_gradients_that_do_not_fit_are_refused() -> None:
    model, x, y = small()
    with pytest.raises(ProbeError, match=r"take 0\.1 GB, more than memory_gb=1e-06"):
        GradientNoise(memory_gb=1e-6).attach(TaskOf(model, x, y), Trial(as_output(x), "32-true"))  # type: ignore[arg-type]


def test_measuring_leaves_a_model_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with measuring(model):
        assert not any(module.training for module in model.modules())
        model(torch.randn(4, 3))
    assert [module.training for module in model] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_are_measured_from_where_they_began() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    task = SimpleNamespace(model=model)
    probe = WeightGeometry()
    probe.attach(task, Trial(as_output(torch.zeros(1)), "32-true"))  # type: ignore[arg-type]
    row = probe.compute(task)  # type: ignore[arg-type]
    assert float(row["weight_change"]) == 0
    with torch.no_grad():
        for w in model.parameters():
            w *= 3
        model[0].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
        model[1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    row = probe.compute(task)  # type: ignore[arg-type]
    assert float(row["layer_imbalance"]) == pytest.approx((9 - 1) / (9 + 1))
    first = probe.initial.double()
    now = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double()
    assert float(row["weight_change"]) == pytest.approx(float((now - first).norm() / first.norm()))
    assert float(row["norm_growth"]) == pytest.approx(float(now.norm() / first.norm()))
