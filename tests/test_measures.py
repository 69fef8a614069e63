"""Measures of representations and kernels, against closed forms and independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

from regrun.data import Features, Tokens
from regrun.measures import (
    activations,
    adaptive_codes,
    centroid_alignment,
    code_entropy,
    code_information,
    codes_of,
    diffusion_information,
    diffusion_spectral_entropy,
    distinct_units,
    effective_rank,
    empirical_ntk,
    hamming_neighbours,
    input_jacobian,
    inverse_participation_ratio,
    kernel_cosine,
    kernel_entropy,
    log_slope,
    massive_count,
    measuring,
    redundancy_ratio,
    regions_between,
    scatter,
    sink_share,
    sparsity_coefficient,
    stable_rank,
    target_alignment,
    top_ratio,
    vote,
)
from regrun.measures.collapse import (
    cosines,
    equal_angles,
    equal_norms,
    nearest_mean_disagreement,
    self_duality,
    simplex_distance,
)
from regrun.measures.outliers import kurtosis
from regrun.measures.redundancy import correlations
from regrun.measures.share import share, unless_nan
from regrun.models import MLP, Quadratic
from regrun.models.residues import residue_functions


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------- collapse


def simplex(classes: int, width: int) -> Tensor:
    frame = torch.eye(classes, width, dtype=torch.float64)
    return frame - frame.mean(0)


def test_a_simplex_has_collapsed() -> None:
    means = simplex(4, 7)
    y = torch.arange(4).repeat_interleave(5)
    found = scatter(means[y] + 3, y, 4)
    for value in (
        found.trace_ratio,
        found.pseudo_inverse_ratio,
        simplex_distance(found.means),
        equal_norms(found.means),
        equal_angles(found.means),
        self_duality(found.means, 2.5 * means),
        nearest_mean_disagreement(means[y] + 3, means[y] @ means.T, found),
    ):
        assert float(value) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(cosines(found.means), torch.full((6,), -1 / 3, dtype=torch.float64))


def test_collapse_has_its_definition() -> None:
    z = torch.randn(60, 5, generator=seeded()).double()
    y = torch.arange(60) % 3
    found = scatter(z, y, 3)
    means = np.stack([z[y == c].numpy().mean(0) for c in range(3)])
    within = np.mean([np.cov(z[y == c].numpy().T, bias=True) for c in range(3)], axis=0)
    between = np.cov(means.T, bias=True)
    assert float(found.trace_ratio) == pytest.approx(np.trace(within) / np.trace(between))
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-9)) / 3
    assert float(found.pseudo_inverse_ratio) == pytest.approx(expected)
    # A rotation and a scale of the features change nothing.
    turned = scatter(7 * z @ torch.linalg.qr(torch.randn(5, 5, generator=seeded(1)).double()).Q, y, 3)
    assert float(turned.trace_ratio) == pytest.approx(float(found.trace_ratio))


def test_points_that_are_one_have_not_collapsed() -> None:
    y = torch.arange(30) % 3
    found = scatter(torch.full((30, 4), 0.1), y, 3)  # as of a network whose units are dead
    assert float(found.within) == float(found.between) == 0
    for value in (
        found.trace_ratio,
        found.pseudo_inverse_ratio,
        equal_norms(found.means),
        simplex_distance(found.means),
        self_duality(found.means, simplex(3, 4)),
    ):
        assert value.isnan()
    # Class means that are one point, and samples around it that are not: infinitely far from collapse.
    around = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat_interleave(3, 0)
    found = scatter(around, y[:6], 3)
    assert float(found.within) == 1
    assert float(found.trace_ratio) == float(found.pseudo_inverse_ratio) == math.inf


def test_a_single_class_has_no_angles() -> None:
    with pytest.raises(ValueError, match="angles between class means need at least 2 classes, got 1"):
        equal_angles(torch.ones(1, 3))
    with pytest.raises(ValueError, match="a simplex of class means needs at least 2 classes, got 1"):
        simplex_distance(torch.ones(1, 3))
    two = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert float(equal_angles(two)) == pytest.approx(0)


# ---------------------------------------------------------------------- ranks


def test_ranks_of_projections_and_of_decay() -> None:
    s = torch.tensor([2.0, 2.0, 2.0, 0.0], dtype=torch.float64)
    assert float(effective_rank(s)) == pytest.approx(3)
    assert float(stable_rank(s)) == pytest.approx(3)
    s = torch.tensor([2.0, 1.0], dtype=torch.float64)
    assert float(stable_rank(s)) == pytest.approx(1.25)
    assert float(effective_rank(s)) == pytest.approx(3 / 2 ** (2 / 3))


def test_spectral_entropy_of_clusters_and_of_points_apart() -> None:
    """Far apart, n points have n equal eigenvalues; k clusters have k."""
    apart = 1e3 * torch.eye(32, dtype=torch.float64)
    assert float(diffusion_spectral_entropy(apart, 1.0)) == pytest.approx(math.log2(31))
    clusters = 1e3 * torch.eye(8, dtype=torch.float64).repeat_interleave(10, 0)
    assert float(diffusion_spectral_entropy(clusters, 1.0)) == pytest.approx(math.log2(7), abs=1e-6)
    assert float(diffusion_spectral_entropy(torch.zeros(10, 3), 1.0)) == pytest.approx(0)
    z = torch.randn(50, 3, generator=seeded()).double()
    turned = z @ torch.linalg.qr(torch.randn(3, 3, generator=seeded(1)).double()).Q + 4
    assert float(diffusion_spectral_entropy(turned, 1.0)) == pytest.approx(
        float(diffusion_spectral_entropy(z, 1.0))
    )


def test_spectral_entropy_is_that_of_the_markov_matrix() -> None:
    """Against the eigenvalues of the diffusion matrix itself, which is not symmetric."""
    z = torch.randn(40, 4, generator=seeded()).double()
    g = np.exp(-(torch.cdist(z, z).numpy() ** 2) / (2 * 1.5**2))
    q = g.sum(1)
    w = g / np.sqrt(np.outer(q, q))
    markov = w / w.sum(1, keepdims=True)
    eigenvalues = np.sort(np.abs(np.linalg.eigvals(markov).real))[:-1]
    p = (eigenvalues**2) / (eigenvalues**2).sum()
    expected = -(p[p > 0] * np.log2(p[p > 0])).sum()
    assert float(diffusion_spectral_entropy(z, 1.5, time=2)) == pytest.approx(expected, rel=1e-8)


def test_spectral_information_sees_labels_and_not_their_number() -> None:
    y = torch.arange(120) % 4
    noise = torch.randn(120, 6, generator=seeded()).double()
    *_, none = diffusion_information(noise, y, seeded(), 1.0)
    # Each class along one line, all together in four directions.
    lines = F.one_hot(y, 6) * (3 + noise[:, :1])
    *_, some = diffusion_information(lines, y, seeded(), 10.0)
    assert abs(float(none)) < 0.2
    assert float(some) > 0.9


# ---------------------------------------------------------------- information


def test_information_of_codes_that_are_known() -> None:
    codes = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 1]])
    y = torch.tensor([0, 0, 1, 1])
    told, about = code_information(codes, y)
    assert float(told) == pytest.approx(1.5)
    assert float(about) == pytest.approx(1.0)
    assert float(code_entropy(torch.arange(16)[:, None])) == pytest.approx(4)


def test_adaptive_bins_hold_equally_many_distinct_values() -> None:
    t = torch.cat([torch.randn(300, 1, generator=seeded()), torch.zeros(100, 1)]).exp()
    codes = adaptive_codes(t, 10)
    distinct = t.unique(return_inverse=True)
    per_bin = torch.bincount(adaptive_codes(distinct[0][:, None], 10).squeeze(1))
    assert len(per_bin) == 10
    assert int(per_bin.max() - per_bin.min()) <= 1
    # Invariant under any increasing map, which fixed bins are not.
    assert torch.equal(codes, adaptive_codes(t**3, 10))


def test_kernel_entropy_between_a_point_and_points_apart() -> None:
    same = torch.ones(64, 3)
    assert float(kernel_entropy(same)) == pytest.approx(0)
    apart = torch.eye(64)
    assert float(kernel_entropy(apart)) == pytest.approx(6)
    t = torch.randn(64, 3, generator=seeded())
    assert float(kernel_entropy(100 * t)) == pytest.approx(float(kernel_entropy(t)), rel=1e-5)


# ---------------------------------------------------------------------- codes


def test_neighbours_are_those_of_scikit_learn() -> None:
    codes = torch.rand(80, 12, generator=seeded()) > 0.5
    queries = torch.rand(40, 12, generator=seeded(1)) > 0.5
    near = hamming_neighbours(codes, queries, 5)
    distance = (queries[:, None] != codes).sum(2)
    expected = distance.sort(dim=1).values[:, :5]
    assert torch.equal(distance.gather(1, near), expected)
    y = torch.randint(3, (80,), generator=seeded(2))
    theirs = KNeighborsClassifier(1, metric="hamming").fit(codes.numpy(), y.numpy())
    unique = distance.eq(distance.amin(1, keepdim=True)).sum(1) == 1
    ours = vote(y[hamming_neighbours(codes, queries, 1)], 3)
    assert np.array_equal(ours[unique].numpy(), theirs.predict(queries[unique].numpy()))


def test_redundancy_counts_samples_that_share_a_region() -> None:
    codes = torch.tensor([[True, False], [True, False], [False, True], [True, True]])
    assert redundancy_ratio(codes) == pytest.approx(0.25)
    assert redundancy_ratio(codes[[0, 0, 0]]) == pytest.approx(2 / 3)


def test_regions_along_a_line_are_those_of_its_kinks() -> None:
    """Units with thresholds at 1/4, 1/2, 3/4 cut the segment from 0 to 1 into four."""
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[0].bias.copy_(-torch.tensor([0.26, 0.51, 0.76]))
    found = regions_between(model, torch.zeros(2, 1), torch.tensor([[1.0], [0.3]]), points=100)
    assert found.tolist() == [4, 2]


def test_activations_are_those_of_every_layer() -> None:
    model = MLP(Features((3,)), 2, hidden=(4, 5))
    x = torch.randn(6, 3)
    layers = activations(model, x)
    assert [t.shape for t in layers.values()] == [(6, 4), (6, 5)]
    assert codes_of(layers).shape == (6, 9)
    torch.testing.assert_close(list(layers.values())[-1], model(x).features)


# -------------------------------------------------------------------- kernels


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (MLP(Features((3,)), 4, hidden=(5,)), torch.randn(7, 3, generator=seeded())),
        (Quadratic(Tokens(5, 2), 5, hidden=6), torch.randint(5, (7, 2), generator=seeded())),
    ],
    ids=["mlp", "quadratic"],
)
def test_the_kernel_is_that_of_the_dense_jacobian(model: nn.Module, x: Tensor) -> None:
    with measuring(model):
        kernel = empirical_ntk(model, x, chunk=3)
        rows = []
        for k in range(len(x)):
            logits = model(x[k : k + 1]).logits[0]
            for z in logits:
                gradient = torch.autograd.grad(z, list(model.parameters()), retain_graph=True)
                rows.append(torch.cat([g.reshape(-1) for g in gradient]))
    jacobian = torch.stack(rows).view(len(x), -1, len(rows[0])).double()
    expected = torch.einsum("icp,jcp->ij", jacobian, jacobian) / jacobian.shape[1]
    torch.testing.assert_close(kernel, expected, atol=1e-5, rtol=1e-5)


def test_the_kernel_of_a_linear_model_is_the_inputs_gram_matrix() -> None:
    model = nn.Linear(4, 3, bias=False)
    x = torch.randn(5, 4)
    with measuring(model):
        torch.testing.assert_close(empirical_ntk(model, x), (x @ x.T).double(), atol=1e-5, rtol=1e-5)


def test_a_sketch_keeps_the_kernel_on_average() -> None:
    model = MLP(Features((3,)), 2, hidden=(30,))
    x = torch.randn(6, 3, generator=seeded())
    with measuring(model):
        exact = empirical_ntk(model, x)
        sketches = torch.stack([empirical_ntk(model, x, sketch=40, seed=seed) for seed in range(300)])
    error = sketches.std(0) / math.sqrt(300)
    assert ((sketches.mean(0) - exact).abs() < 5 * error + 1e-9).all()


def test_alignment_with_targets() -> None:
    y = torch.randn(20, 1, generator=seeded()).double()
    assert float(target_alignment(y @ y.T, y)) == pytest.approx(1)
    assert float(target_alignment(3 * y @ y.T + 7, y + 5)) == pytest.approx(1)  # centred
    other = torch.randn(20, 1, generator=seeded(1)).double()
    other -= (
        other.mean()
        + (y - y.mean()) * ((other - other.mean()) * (y - y.mean())).sum() / (y - y.mean()).square().sum()
    )
    assert float(target_alignment(other @ other.T, y)) == pytest.approx(0, abs=1e-12)
    assert float(kernel_cosine(y @ y.T, 4 * y @ y.T)) == pytest.approx(1)


def test_a_kernel_of_zeros_has_no_direction() -> None:
    one = torch.eye(3, dtype=torch.float64)
    assert float(kernel_cosine(torch.zeros_like(one), one)) == 0
    assert float(target_alignment(one, torch.ones(3, 1))) == 0  # a single class
    assert float(kernel_cosine(1e-30 * one.float(), one.float())) == pytest.approx(1)


# -------------------------------------------------------------------- fourier


def test_a_single_wave_has_ratio_one_and_noise_little() -> None:
    a = torch.arange(31, dtype=torch.float64)
    waves = torch.stack([torch.cos(2 * math.pi * k * a / 31 + k) for k in (1, 5, 15)])
    torch.testing.assert_close(inverse_participation_ratio(waves), torch.ones(3, dtype=torch.float64))
    both = waves[0] + waves[1]
    assert float(inverse_participation_ratio(both)) == pytest.approx(0.5)
    delta = F.one_hot(torch.tensor(3), 31).double()
    assert float(inverse_participation_ratio(delta)) == pytest.approx(1 / 16)  # flat over 16 frequencies
    assert float(inverse_participation_ratio(torch.zeros(31))) == 0


def test_the_weights_on_residues_are_found() -> None:
    model = Quadratic(Tokens(7, 2), 7, hidden=3)
    first, second, out = residue_functions(model)
    x = torch.tensor([[2, 5]])
    torch.testing.assert_close(first[:, 2] + second[:, 5], model.first(x)[0])
    torch.testing.assert_close(out, model.head.weight.T)
    assert len(residue_functions(MLP(Tokens(7, 2), 7, hidden=(4, 4)))) == 2
    assert residue_functions(MLP(Features((3,)), 2)) == []


# ------------------------------------------------------------ jacobian, others


def test_the_jacobian_of_a_linear_map() -> None:
    model = nn.Linear(4, 3)
    x = torch.randn(5, 4)
    with measuring(model):
        jacobian = input_jacobian(model, x, chunk=2)
    torch.testing.assert_close(jacobian, model.weight.detach().expand(5, 3, 4))
    expected = F.cosine_similarity(model.weight.detach().sum(0).expand(5, 4), x)
    torch.testing.assert_close(centroid_alignment(jacobian, x), expected)


def test_units_that_are_multiples_count_as_one() -> None:
    t = torch.randn(200, 3, generator=seeded())
    copies = torch.cat([t, -2 * t[:, :2] + 1, torch.zeros(200, 1)], 1)
    assert distinct_units(copies) == 4  # and the constant one
    positive = torch.cat([t, 3 * t], 1)
    share = (t > 0).double().mean() / 2
    assert float(sparsity_coefficient(positive)) == pytest.approx(float(share))


def test_a_constant_unit_goes_with_none() -> None:
    t = torch.full((1000, 3), 0.1, dtype=torch.float64)  # whose mean rounds to another number
    t[:, 0] = torch.randn(1000, generator=seeded())
    expected = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(correlations(t), expected)
    assert distinct_units(t) == 3


def test_entries_that_are_all_the_same_have_no_kurtosis() -> None:
    assert kurtosis(torch.full((1000, 2), 0.1, dtype=torch.float64)).isnan()
    assert float(kurtosis(torch.tensor([1.0, -1.0]))) == 1


def test_a_share_is_not_of_what_is_no_number() -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 5.0])
    assert float(share(x > 2, x)) == 0.5
    x[0] = math.nan
    assert share(x > 2, x).isnan()
    assert unless_nan(x[1:].mean(), x).isnan()
    assert float(unless_nan(x[1:].amax(), x[1:])) == 5


def test_spectra_of_what_is_no_number_are_none() -> None:
    z = torch.randn(9, 3, generator=seeded())
    z[2, 1] = math.nan
    assert diffusion_spectral_entropy(z).isnan()
    assert all(part.isnan() for part in diffusion_information(z, torch.arange(9) % 3, seeded()))
    found = scatter(z, torch.arange(9) % 3, 3)
    assert found.pseudo_inverse_ratio.isnan()
    assert nearest_mean_disagreement(z, z, found).isnan()
    assert massive_count(z[None]).isnan()
    assert sparsity_coefficient(z).isnan()


def test_massive_activations_are_found() -> None:
    hidden = torch.ones(2, 4, 8)
    assert float(top_ratio(hidden)) == pytest.approx(1)
    hidden[:, 0, 3] = 5000
    assert float(top_ratio(hidden)) == pytest.approx(5000)
    assert float(massive_count(hidden)) == 1
    assert float(massive_count(hidden / 100)) == 0  # large for its median, but not large


def test_sinks_are_found_by_hand() -> None:
    even = torch.ones(1, 1, 4, 4).tril()
    assert float(sink_share(even / even.sum(-1, keepdim=True))) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_a_power_law_has_its_exponent_as_slope() -> None:
    x = [0.5, 1.0, 3.0, 20.0]
    assert log_slope(x, [7 * v**-1.5 for v in x]) == pytest.approx(-1.5)
    assert math.isnan(log_slope(x, [1.0, 2.0, 0.0, 3.0]))
