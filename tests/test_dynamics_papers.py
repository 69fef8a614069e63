"""Procedures of the papers on training dynamics, by what is known of them in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from regrun.data import Features
from regrun.measures.interaction_basis import local_interaction_basis, principal_basis
from regrun.models import MLP
from regrun.papers.degeneracy_interpretability import rank_of
from regrun.papers.discretisation_drift.flows import flow
from regrun.papers.exact_inductive_bias.quadratic_form import (
    QuadraticForm,
    fitted_log_below,
    posterior_error,
    sankaran,
)
from regrun.papers.iterative_feature_merging import TwoLayers, merges, two_layers
from regrun.papers.li2_feature_emergence.gradient import lazy_gradient
from regrun.papers.li2_feature_emergence.threshold import crossing
from regrun.papers.local_interaction_basis import Affine, all_bases, edge_share
from regrun.papers.lr_batch_rmt import prediction_error
from regrun.papers.massive_activations import fit_curve, logarithm, modulated_logarithm
from regrun.papers.perturbation_neural_collapse import UnconstrainedFeatures
from regrun.probes.samples import gigabytes
from regrun.procedures.small_sgd import Diagonal, TwoLayer


def double(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -------------------------------------------------------------- inductive bias


@pytest.mark.parametrize("log10", [-0.5, -2, -8, -40])
def test_the_saddlepoint_is_right_far_into_the_tail(log10: float) -> None:
    """Equal scales make a scaled non-central chi-square, whose quantiles scipy knows."""
    n, scale = 30, 0.02
    shifts = np.full(n, 0.7)
    form = QuadraticForm(np.full(n, scale), shifts)
    level = 0.0
    low, high = 1e-9, form.mean
    for _ in range(200):  # the level with that probability
        level = math.sqrt(low * high)
        found = stats.ncx2.logcdf(level / scale, n, n * 0.49)
        low, high = (level, high) if found < log10 * math.log(10) else (low, level)
    expected = float(stats.ncx2.logcdf(level / scale, n, n * 0.49))
    assert form.log_below(level) == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert form.log_below(form.mean * 1.01) == 0


def test_the_saddlepoint_is_what_chance_does() -> None:
    rng = np.random.default_rng(0)
    form = QuadraticForm(rng.exponential(0.1, 8), rng.standard_normal(8))
    drawn = form.sample(200_000, rng)
    assert drawn.mean() == pytest.approx(form.mean, rel=0.02)
    for share in (0.01, 0.2):
        level = float(np.quantile(drawn, share))
        assert math.exp(form.log_below(level)) == pytest.approx(share, rel=0.05)


def test_the_posterior_is_that_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(0)
    x, x_test = rng.uniform(-1, 1, (20, 3)), rng.uniform(-1, 1, (10, 3))
    y, y_test = np.sin(x.sum(1)), np.sin(x_test.sum(1))
    form = posterior_error(x, y, x_test, y_test)
    theirs = GaussianProcessRegressor(RBF(1.0), alpha=1e-4, optimizer=None).fit(x, y)
    mean, covariance = theirs.predict(x_test, return_cov=True)
    expected = (np.trace(covariance) + ((mean - y_test) ** 2).sum()) / 10
    assert form.mean == pytest.approx(expected, rel=1e-4)


def test_the_fit_to_losses_has_their_distribution() -> None:
    rng = np.random.default_rng(0)
    losses = 0.01 * stats.ncx2.rvs(12, 20, size=2000, random_state=rng)
    level = float(np.quantile(losses, 0.05))
    assert math.exp(fitted_log_below(losses, level)) == pytest.approx(0.05, rel=0.2)
    for x in (5.0, 15.0):
        assert sankaran(x, 12, 20) == pytest.approx(stats.ncx2.logcdf(x, 12, 20), rel=0.05)


# ------------------------------------------------------------- emerging features


def test_the_gradient_of_ridge_regression_is_its_closed_form() -> None:
    found = lazy_gradient(double(20, 50), double(20, 4, seed=1) - double(20, 4, seed=1).mean(0), 0.7)
    assert found["identity_error"] < 1e-10
    assert (
        lazy_gradient(double(20, 50), double(20, 4) - double(20, 4).mean(0), 1e8)["gradient_cosine"] > 0.9999
    )


def test_a_crossing_is_interpolated() -> None:
    assert crossing([1, 2, 4], [0.0, 0.25, 0.75], 0.5) == pytest.approx(3)
    assert math.isnan(crossing([1, 2], [0.0, 0.1], 0.5))


# --------------------------------------------------------------- interaction basis


def with_constant(f: torch.Tensor) -> torch.Tensor:
    return torch.cat([f, f.new_ones(len(f), 1)], 1)


def test_a_basis_is_exact_and_diagonalizes() -> None:
    f = with_constant(double(200, 5))
    j = double(3, 6, seed=1)
    basis = local_interaction_basis(f, j.T @ j)
    assert len(basis) == 3  # what the Jacobian does not see is dropped
    torch.testing.assert_close(f @ basis.projection(3) @ j.T, f @ j.T)
    features = f @ basis.change
    gram = features.T @ features / len(f)
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-9, rtol=0)
    inner = basis.back @ j.T @ j @ basis.back.T  # features react independently
    torch.testing.assert_close(inner, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    principal = principal_basis(f)
    torch.testing.assert_close(f @ principal.projection(6), f)


def test_a_network_folded_is_the_network() -> None:
    torch.manual_seed(0)
    model = MLP(Features((4,)), 3, hidden=(6, 5))
    x = torch.randn(2000, 4)
    net = Affine(model)
    first = with_constant(model.body[1](model.body[0](x)).double().detach())
    states = net.states(first)
    torch.testing.assert_close(states[-1].float(), model(x).logits.detach())
    torch.testing.assert_close(net.logits(first, 0), states[-1])
    slope = torch.func.vmap(torch.func.jacrev(lambda f: (f @ net.hidden[0]).relu()))(first[:20])
    slope[:, -1] = 0
    torch.testing.assert_close(net.jacobians(first[:20], 0), slope)
    for bases in all_bases(net, states)[:2]:  # the local basis is exact only where the kinks stay
        whole = net.logits(first @ bases[0].projection(len(bases[0])), 0)
        torch.testing.assert_close(whole, states[-1], atol=1e-3, rtol=1e-3)


def test_the_share_of_edges() -> None:
    assert edge_share(torch.tensor([[96.0, 1, 1, 1, 1]])) == pytest.approx(0.2)
    assert edge_share(torch.ones(100)) == pytest.approx(0.95)


def test_ranks_have_a_relative_cut() -> None:
    a = double(30, 4) @ double(4, 10, seed=1)
    assert rank_of(a) == rank_of(1e-8 * a) == 4


# --------------------------------------------------------------------- merging


def test_units_that_are_equal_merge_without_a_trace() -> None:
    torch.manual_seed(0)
    net = two_layers(MLP(Features((4,)), 3, hidden=(6,)))
    twice = TwoLayers(torch.cat([net.into, net.into[:2]]), torch.cat([net.out, net.out[:2]]), net.bias)
    x = double(20, 4)
    steps = list(merges(twice))
    assert [len(merged) for _, merged in steps] == [7, 6, 5, 4, 3, 2, 1]
    for share, merged in steps[:2]:
        assert share == pytest.approx(0, abs=1e-15)
        torch.testing.assert_close(merged.logits(x), twice.logits(x))
    assert steps[2][0] > 0
    _, averaged = list(merges(twice, average_incoming=True))[1]
    assert not torch.allclose(averaged.logits(x), twice.logits(x))


# ----------------------------------------------------------------- small networks


@pytest.mark.parametrize("batch", [1, 3])
def test_steps_descend_half_the_mean_squared_error(batch: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((batch, 4)), rng.standard_normal(batch)
    two, diagonal = TwoLayer(4, 6, rng), Diagonal(4, 0.3)
    a, w = (torch.tensor(p, requires_grad=True) for p in (two.a, two.w))
    u, v = (torch.tensor(p, requires_grad=True) for p in (diagonal.u, diagonal.v))
    rows, targets = torch.tensor(x), torch.tensor(y)
    ((rows @ w.T).relu() @ a - targets).square().mean().div(2).backward()
    (rows @ (u**2 - v**2) - targets).square().mean().div(2).backward()
    two.step(x, y, 0.1)
    diagonal.step(x, y, 0.1)
    for now, p in ((two.a, a), (two.w, w), (diagonal.u, u), (diagonal.v, v)):
        assert p.grad is not None
        np.testing.assert_allclose(now, (p - 0.1 * p.grad).detach().numpy(), atol=1e-12)


def test_gradients_of_samples_are_those_of_outputs() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 4))
    net = TwoLayer(4, 6, rng)
    a, w = (torch.tensor(p) for p in (net.a, net.w))
    expected = torch.func.vmap(
        torch.func.grad(lambda p, row: (row @ p[1].T).relu() @ p[0]), in_dims=(None, 0)
    )((a, w), torch.tensor(x))
    found = net.sample_gradients(x)
    np.testing.assert_allclose(found[:, :6], expected[0].numpy())
    np.testing.assert_allclose(found[:, 6:], expected[1].flatten(1).numpy())


# ------------------------------------------------------------------------- flows


def test_a_flow_is_solved_to_fourth_order() -> None:
    start = double(3)
    exact = start * math.exp(-1.0)
    errors = [float((flow(lambda w: w, start, 1.0, n) - exact).norm()) for n in (5, 10)]
    assert 12 < errors[0] / errors[1] < 20


def test_the_spiked_matrix_predicts_itself() -> None:
    """Sharpness as the formula has it is predicted without error, in both regimes."""
    samples, parameters = 1000, 500

    def means(full: float, square: float) -> dict[int, float]:
        found = {}
        for size in (8, 16, 32, 64):
            noise = parameters * (1 - size / samples) / size
            edge = math.sqrt(noise * square)
            found[size] = full + edge**2 / full if full > edge else 2 * edge
        return found

    for full, square in ((6.0, 0.3), (0.01, 0.3)):
        assert prediction_error(means(full, square), full, parameters / samples, samples) < 1e-9


def test_collapsed_features_stay_collapsed() -> None:
    problem = UnconstrainedFeatures(noise=0.1, samples=5, width=6, alternations=200)
    means = double(6, 4)[:, problem.labels]
    assert problem.nc1(problem.minimizer(means, 0.1)) < 1e-20
    # The head is the minimizer of its ridge regression.
    w = problem.head(means).requires_grad_()
    fit = (w @ means - problem.y).square().sum() / (2 * 20) + 0.02 / 8 * w.square().sum()
    (gradient,) = torch.autograd.grad(fit, w)
    assert float(gradient.abs().max()) < 1e-12


# ----------------------------------------------------------------- fitted curves


def test_curves_are_fitted_to_their_own_data() -> None:
    rng = np.random.default_rng(0)
    t = np.geomspace(1, 1000, 30)
    rising = logarithm(np.array([2.0, 3.0]), t)
    assert fit_curve("logarithm", t, rising, rng, 3)[0] == pytest.approx(1)
    bump = modulated_logarithm(np.array([5.0, -3.0, -3.0, -1.0, 1.0]), t)
    r2, aic = fit_curve("eml", t, bump, rng, 20)
    assert r2 > 0.999
    assert aic < fit_curve("logarithm", t, bump, rng, 3)[1]


def test_sizes_are_rounded_up() -> None:
    assert gigabytes(1e9) == "4 GB"
    assert gigabytes(1) == "0.1 GB"


def test_merging_is_for_one_hidden_layer() -> None:
    with pytest.raises(ValueError, match="one hidden layer"):
        two_layers(MLP(Features((4,)), 3, hidden=(6, 6)))
    with pytest.raises(ValueError, match="one hidden layer"):
        two_layers(nn.Linear(3, 3))
