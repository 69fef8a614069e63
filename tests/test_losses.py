"""Probability maps and losses, against limits, closed forms and other implementations."""

from __future__ import annotations

import math
from collections.abc import Callable

import entmax
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from regrun.losses import (
    BayesianRanking,
    Bootstrap,
    ClassificationLoss,
    CrossEntropy,
    ForwardCorrection,
    GeneralizedCrossEntropy,
    PairwiseSoftmax,
    SoftmaxCrossEntropy,
    SparsemaxLoss,
    SparseSoftmaxLoss,
    SquaredError,
    StableMaxCrossEntropy,
    ZLoss,
)
from regrun.probability_maps import (
    ProbabilityMap,
    Softmax,
    Softpick,
    Sparsemax,
    SparseSoftmax,
    SphericalSoftmax,
    StableMax,
    TaylorSoftmax,
    log_stablemax,
    sparsemax,
    stablemax,
)
from samples import double

MAPS = [
    Softmax(),
    Softmax(3.0),
    StableMax(),
    Sparsemax(),
    SparseSoftmax(3),
    Softpick(),
    TaylorSoftmax(),
    SphericalSoftmax(),
]
N, CLASSES = 12, 5
Y = torch.arange(N) % CLASSES
SCORES = st.lists(st.floats(-50, 50), min_size=4, max_size=9).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def drawn(*shape: int, scale: float = 2.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def name_of(thing: object) -> str:
    return type(thing).__name__


# --------------------------------------------------------------- probability maps


@pytest.mark.parametrize("to_weights", MAPS, ids=name_of)
@given(z=SCORES)
@settings(deadline=None, max_examples=60)
def test_weights_lie_on_the_simplex(to_weights: ProbabilityMap, z: Tensor) -> None:
    p = to_weights(z)
    assert (p >= 0).all()
    if to_weights.positive:
        assert (p > 0).all()
        torch.testing.assert_close(to_weights.log(z).exp(), p)
    if to_weights.sums_to_one:
        assert float(p.sum()) == pytest.approx(1)
    else:
        assert float(p.sum()) <= 1 + 1e-12


@pytest.mark.parametrize("to_weights", MAPS, ids=name_of)
def test_a_score_of_minus_infinity_is_not_there(to_weights: ProbabilityMap) -> None:
    z = drawn(6, 7)
    hidden = z.clone()
    hidden[:, 4:] = -torch.inf
    hidden.requires_grad_()
    p = to_weights(hidden)
    torch.testing.assert_close(p[:, :4], to_weights(z[:, :4]))
    assert (p[:, 4:] == 0).all()
    (p * drawn(6, 7, seed=1)).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()
    assert (hidden.grad[:, 4:] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_logarithm_of_a_map_knows_nothing_of_a_masked_score(dtype: torch.dtype) -> None:
    """By hand: ``log s_i - log sum s``, with s = 1.3 and 1 / 1.2 of StableMax, and s = z^2."""
    for to_weights, s, slope in [
        (StableMax(), [1.3, 1 / 1.2], [1, 1 / 1.44]),
        (SphericalSoftmax(1e-30), [0.09, 0.04], [0.6, -0.4]),
    ]:
        z = torch.tensor([[0.3, -torch.inf, -0.2]], dtype=dtype, requires_grad=True)
        logs = to_weights.log(z)
        expected = [math.log(s[0] / sum(s)), -math.inf, math.log(s[1] / sum(s))]
        torch.testing.assert_close(logs, torch.tensor([expected], dtype=dtype))
        logs.sum().backward()  # what is -inf has no gradient, whatever comes of it
        gradient = [slope[0] / s[0] - 2 * slope[0] / sum(s), 0, slope[1] / s[1] - 2 * slope[1] / sum(s)]
        torch.testing.assert_close(z.grad, torch.tensor([gradient], dtype=dtype), rtol=0.02, atol=0.01)


@pytest.mark.parametrize("to_weights", MAPS, ids=name_of)
def test_where_no_score_is_there_nothing_is_given(to_weights: ProbabilityMap) -> None:
    z = drawn(3, 4)
    z[1] = -torch.inf
    z.requires_grad_()
    for function, nothing in ((to_weights, 0.0), (to_weights.log, -torch.inf)):
        z.grad = None
        found = function(z)
        assert found[1].tolist() == [nothing] * 4
        torch.testing.assert_close(found[::2], function(z[::2]))
        found.masked_fill(found.isinf(), 0).sum().backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()
        assert not z.grad[1].any()


def test_functions_treat_masked_scores_as_their_maps_do() -> None:
    z = torch.tensor([[0.3, -torch.inf, -0.2], [-torch.inf] * 3])
    for function, to_weights in (
        (sparsemax, Sparsemax()),
        (stablemax, StableMax()),
        (log_stablemax, StableMax().log),
    ):
        assert torch.equal(function(z), to_weights(z))
        assert torch.equal(function(z.T, 0), to_weights(z).T)


def test_a_masked_class_without_a_share_in_the_label_costs_nothing() -> None:
    z = drawn(3, CLASSES)
    z[:, 3] = -torch.inf
    y = drawn(3, CLASSES, seed=1).softmax(1)
    y[:, 3] = 0
    rest = [0, 1, 2, 4]
    for loss in (CrossEntropy(TaylorSoftmax()), CrossEntropy(StableMax()), StableMaxCrossEntropy()):
        found = z.clone().requires_grad_()
        values = loss(found, y)
        torch.testing.assert_close(values, loss(z[:, rest], y[:, rest]))
        values.sum().backward()
        assert found.grad is not None
        assert found.grad.isfinite().all()
        assert not found.grad[:, 3].any()


@pytest.mark.parametrize("to_weights", MAPS, ids=name_of)
def test_gradients_agree_with_finite_differences_along_any_dimension(to_weights: ProbabilityMap) -> None:
    z = drawn(5, 4).requires_grad_()
    assert gradcheck(to_weights, (z,))
    torch.testing.assert_close(to_weights(z, 0), to_weights(z.T).T)


@pytest.mark.parametrize("to_weights", MAPS, ids=name_of)
def test_extreme_scores_give_finite_weights_and_gradients(to_weights: ProbabilityMap) -> None:
    for scale in (1e-8, 1.0, 1e4):
        z = (torch.tensor([[1.0, -1.0, 0.5, -200.0], [0.0, 0.0, 0.0, 0.0]]) * scale).requires_grad_()
        p = to_weights(z)
        p[:, 0].sum().backward()
        assert p.isfinite().all()
        assert z.grad is not None
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("to_weights", [Softmax(), Sparsemax(), SparseSoftmax(3)], ids=name_of)
def test_shifts_do_not_matter(to_weights: ProbabilityMap) -> None:
    z = drawn(4, 6)
    torch.testing.assert_close(to_weights(z + 7), to_weights(z))


@given(z=SCORES)
@settings(deadline=None, max_examples=100)
def test_sparsemax_is_entmaxs(z: Tensor) -> None:
    torch.testing.assert_close(sparsemax(z), entmax.sparsemax(z, dim=0), atol=1e-10, rtol=0)


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    z = drawn(20, 6)
    p = sparsemax(z)
    best = (p - z).square().sum(1)
    for seed in range(50):
        q = drawn(20, 6, seed=seed).softmax(1)
        assert ((q - z).square().sum(1) >= best).all()
    torch.testing.assert_close(sparsemax(p), p)  # which projecting leaves where it is


def test_sparsemax_has_the_papers_jacobian() -> None:
    z = drawn(8, scale=0.3)
    s = (sparsemax(z) > 0).double()
    assert 1 < s.sum() < 8
    expected = torch.diag(s) - torch.outer(s, s) / s.sum()
    torch.testing.assert_close(torch.autograd.functional.jacobian(sparsemax, z), expected)


def test_the_largest_k_of_all_are_softmax_and_ties_do_not_count_twice() -> None:
    z = drawn(4, 6)
    torch.testing.assert_close(SparseSoftmax(6)(z), z.softmax(-1))
    tied = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])
    assert (SparseSoftmax(2)(tied) > 0).sum() == 2
    with pytest.raises(ValueError, match="k=7 is larger than the number of scores, 6"):
        SparseSoftmax(7)(z)


def test_softpick_is_its_definition_and_nothing_below_zero() -> None:
    z = drawn(5, 6)
    grown = z.exp() - 1
    torch.testing.assert_close(Softpick(1e-6)(z), grown.relu() / (grown.abs().sum(1, keepdim=True) + 1e-6))
    assert (Softpick()(-z.abs()) == 0).all()
    # What gets nothing is taught all the same, through the sum below the line.
    z = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    Softpick()(z)[0].backward()
    assert z.grad is not None
    assert float(z.grad[1]) != 0


def test_spherical_maps_know_sums_and_squares_alone() -> None:
    z = drawn(5, 6)
    for kind in (TaylorSoftmax(), SphericalSoftmax()):
        total = {
            TaylorSoftmax: 6 + z.sum(1) + z.square().sum(1) / 2,
            SphericalSoftmax: z.square().sum(1) + 6e-6,
        }
        own = {TaylorSoftmax: 1 + z[:, 0] + z[:, 0] ** 2 / 2, SphericalSoftmax: z[:, 0] ** 2 + 1e-6}
        torch.testing.assert_close(kind(z)[:, 0], own[type(kind)] / total[type(kind)])
    torch.testing.assert_close(SphericalSoftmax(1e-30)(-3 * z), SphericalSoftmax(1e-30)(z))
    # Near 0 the series is the exponential.
    small = z * 1e-3
    torch.testing.assert_close(TaylorSoftmax()(small), small.softmax(1), atol=1e-8, rtol=0)


def test_a_temperature_scales() -> None:
    z = drawn(5, 6)
    torch.testing.assert_close(Softmax(2.0)(z), (z / 2).softmax(-1))
    assert float(Softmax(1e-3)(z).amax(1).min()) == pytest.approx(1)
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            Softmax(bad)


# ------------------------------------------------------------------------- losses

LOSSES: list[ClassificationLoss] = [
    SoftmaxCrossEntropy("float64"),
    StableMaxCrossEntropy(),
    CrossEntropy(TaylorSoftmax()),
    CrossEntropy(SphericalSoftmax()),
    SparsemaxLoss(),
    SparseSoftmaxLoss(3),
    ZLoss(),
    SquaredError(),
    GeneralizedCrossEntropy(),
    Bootstrap(hard=False),
    ForwardCorrection(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=name_of)
def test_a_loss_has_a_value_for_each_sample_and_true_gradients(loss: ClassificationLoss) -> None:
    z = drawn(N, CLASSES).requires_grad_()
    values = loss(z, Y)
    assert values.shape == (N,)
    torch.testing.assert_close(loss(z[3:4], Y[3:4]), values[3:4])
    assert gradcheck(lambda z: loss(z, Y), (z,))


@pytest.mark.parametrize("loss", LOSSES, ids=name_of)
def test_certainty_of_a_class_is_its_index(loss: ClassificationLoss) -> None:
    z = drawn(N, CLASSES)
    one_hot = F.one_hot(Y, CLASSES).double()
    if not loss.takes_probabilities:
        with pytest.raises(ValueError, match="takes class indices, and these targets are probabilities"):
            loss(z, one_hot)
        return
    torch.testing.assert_close(loss(z, one_hot), loss(z, Y))
    if isinstance(loss, SparsemaxLoss | SquaredError | Bootstrap):  # not linear in the target
        return
    other = F.one_hot((Y + 1) % CLASSES, CLASSES).double()
    mixed = 0.3 * loss(z, one_hot) + 0.7 * loss(z, other)
    torch.testing.assert_close(loss(z, 0.3 * one_hot + 0.7 * other), mixed)


@pytest.mark.parametrize("loss", LOSSES, ids=name_of)
def test_targets_that_cannot_be_are_named(loss: ClassificationLoss) -> None:
    z = drawn(3, CLASSES)
    for bad, message in [
        (torch.tensor([0, 5, 1]), "no class 5 among 5 classes"),
        (torch.tensor([0, -1, 1]), "no class -1 among 5 classes"),
        (torch.tensor([0, 1]), r"shape \(2,\) do not fit"),
    ]:
        with pytest.raises(ValueError, match=message):
            loss(z, bad)
    if loss.takes_probabilities:
        with pytest.raises(ValueError, match="do not fit"):
            loss(z, torch.ones(3, CLASSES + 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_cross_entropy_is_torchs(dtype: str) -> None:
    z, y = torch.randn(9, 4), torch.randint(4, (9,))
    ours = SoftmaxCrossEntropy(dtype)(z, y).mean()
    assert ours.dtype == getattr(torch, dtype)
    torch.testing.assert_close(ours, F.cross_entropy(z.to(ours.dtype), y))


def test_softmax_stops_teaching_the_correct_class_once_its_format_absorbs() -> None:
    for dtype, holds, absorbs in [("float32", 15.0, 18.0), ("float64", 35.0, 38.0)]:
        for margin, vanishes in [(holds, False), (absorbs, True)]:
            z = torch.tensor([[margin, 0.0]], dtype=torch.float64, requires_grad=True)
            SoftmaxCrossEntropy(dtype)(z, torch.tensor([0])).mean().backward()
            assert z.grad is not None
            assert (z.grad[0, 0] == 0) == vanishes, (dtype, margin)


def test_float16_gradients_underflow_far_earlier_than_float32() -> None:
    n = 5000  # as many samples as the paper has
    for dtype, vanishes in [("float16", True), ("float32", False)]:
        z = torch.zeros(n, 2)
        z[:, 0] = 12.0
        z.requires_grad_()
        SoftmaxCrossEntropy(dtype)(z, torch.zeros(n, dtype=torch.int64)).mean().backward()
        assert z.grad is not None
        assert (z.grad[:, 1] == 0).all() == vanishes


def test_sparsemax_loss_is_entmaxs_and_a_huber_loss_of_two_classes() -> None:
    z = drawn(N, CLASSES)
    torch.testing.assert_close(SparsemaxLoss()(z, Y), entmax.sparsemax_loss(z, Y))
    margin = torch.linspace(-3, 3, 61, dtype=torch.float64)
    pair = torch.stack([margin, torch.zeros_like(margin)], 1) + 5
    huber = torch.where(margin >= 1, 0, torch.where(margin <= -1, -margin, (margin - 1) ** 2 / 4))
    torch.testing.assert_close(SparsemaxLoss()(pair, torch.zeros(61, dtype=torch.int64)), huber)


def test_sparsemax_loss_pulls_by_sparsemax_minus_the_target_and_is_convex() -> None:
    q = drawn(N, CLASSES, seed=1).softmax(1)
    z = drawn(N, CLASSES).requires_grad_()
    SparsemaxLoss()(z, q).sum().backward()
    torch.testing.assert_close(z.grad, sparsemax(z.detach()) - q)
    assert (SparsemaxLoss()(z, q) >= 0).all()
    torch.testing.assert_close(SparsemaxLoss()(q, q), torch.zeros(N, dtype=torch.float64))
    hessian = torch.autograd.functional.hessian(
        lambda v: SparsemaxLoss()(v[None], q[:1]).sum(), z.detach()[0]
    )
    assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-9


def test_sparse_softmax_is_cross_entropy_of_all_classes_and_finite_outside_the_k() -> None:
    z = drawn(N, CLASSES)
    torch.testing.assert_close(SparseSoftmaxLoss(CLASSES)(z, Y), F.cross_entropy(z, Y, reduction="none"))
    z = torch.tensor([[3.0, 2.0, 1.0, -9.0]], dtype=torch.float64, requires_grad=True)
    loss = SparseSoftmaxLoss(2)(z, torch.tensor([3]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(math.exp(3) + math.exp(2)) + 9)
    assert z.grad is not None
    torch.testing.assert_close(z.grad[0], SparseSoftmax(2)(z.detach())[0] - torch.tensor([0.0, 0, 0, 1]))


@given(st.floats(0.01, 100), st.floats(-100, 100))
@settings(deadline=None, max_examples=50)
def test_the_z_loss_knows_neither_shift_nor_scale(scale: float, shift: float) -> None:
    z = drawn(N, CLASSES)
    torch.testing.assert_close(ZLoss()(scale * z + shift, Y), ZLoss()(z, Y), atol=1e-6, rtol=0)


def test_the_z_loss_is_its_definition_and_finite_for_equal_logits() -> None:
    z = drawn(N, CLASSES)
    standardized = (z - z.mean(1, keepdim=True)) / z.std(1, correction=0, keepdim=True)
    target = standardized[torch.arange(N), Y]
    expected = (1 + (0.5 * (3 - target)).exp()).log() / 0.5
    torch.testing.assert_close(ZLoss(0.5, 3.0)(z, Y), expected)
    z = torch.zeros(2, CLASSES, requires_grad=True)
    ZLoss()(z, Y[:2]).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_squared_error_is_that_of_one_hot_labels() -> None:
    z = drawn(N, CLASSES)
    expected = (z - torch.eye(CLASSES)[Y]).square().mean(1)
    torch.testing.assert_close(SquaredError()(z, Y), expected)


def test_gce_lies_between_cross_entropy_and_absolute_error() -> None:
    z = drawn(N, CLASSES)
    p = z.softmax(1)[torch.arange(N), Y]
    torch.testing.assert_close(GeneralizedCrossEntropy(1.0)(z, Y), 1 - p)
    torch.testing.assert_close(GeneralizedCrossEntropy(1e-4)(z, Y), -p.log(), atol=1e-2, rtol=0)
    torch.testing.assert_close(GeneralizedCrossEntropy(0.7)(z, Y), (1 - p**0.7) / 0.7)


def test_bootstrap_mixes_the_label_with_the_prediction() -> None:
    z = drawn(N, CLASSES)
    own = F.cross_entropy(z, Y, reduction="none")
    for hard in (True, False):
        torch.testing.assert_close(Bootstrap(1.0, hard)(z, Y), own)
    mixed = 0.8 * own + 0.2 * F.cross_entropy(z, z.argmax(1), reduction="none")
    torch.testing.assert_close(Bootstrap(0.8, hard=True)(z, Y), mixed)
    entropy = torch.distributions.Categorical(logits=z).entropy()
    torch.testing.assert_close(Bootstrap(0.95, hard=False)(z, Y), 0.95 * own + 0.05 * entropy)


def test_forward_correction_is_cross_entropy_of_the_noisy_distribution() -> None:
    z = drawn(N, CLASSES)
    transition = torch.full((CLASSES, CLASSES), 0.4 / (CLASSES - 1), dtype=torch.float64).fill_diagonal_(0.6)
    expected = F.nll_loss((z.softmax(1) @ transition).log(), Y, reduction="none")
    torch.testing.assert_close(ForwardCorrection(0.4)(z, Y), expected)
    torch.testing.assert_close(ForwardCorrection(0)(z, Y), F.cross_entropy(z, Y, reduction="none"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_without_noise_forward_correction_is_cross_entropy_where_the_softmax_underflows(
    dtype: torch.dtype,
) -> None:
    z = torch.tensor([[200.0, 0.0], [0.0, 1.0]], dtype=dtype, requires_grad=True)
    values = ForwardCorrection(0.0)(z, torch.tensor([1, 1]))
    expected = torch.tensor([200.0, math.log1p(math.exp(-1))], dtype=dtype)
    torch.testing.assert_close(values, expected)
    values.sum().backward()
    p = 1 / (1 + math.e)
    torch.testing.assert_close(z.grad, torch.tensor([[1, -1], [p, -p]], dtype=dtype))
    soft = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=dtype)
    torch.testing.assert_close(ForwardCorrection(0.0)(z, soft), expected * torch.tensor([0.5, 1]).to(dtype))


def test_forward_correction_knows_the_ends_of_its_rate() -> None:
    sure = torch.tensor([[60.0, 0.0, 0.0]], dtype=torch.float64)
    for rate in (1e-8, 0.36, 1 - 1e-9):
        right, wrong = (float(ForwardCorrection(rate)(sure, torch.tensor([y]))) for y in (0, 1))
        assert right == pytest.approx(-math.log1p(-rate), rel=1e-6)
        assert wrong == pytest.approx(-math.log(rate / 2), rel=1e-6)
    assert float(ForwardCorrection(1 - 1e-9)(sure.float(), torch.tensor([0]))) == pytest.approx(
        20.72, rel=1e-3
    )
    for rate in (0.0, 0.36):
        with pytest.raises(ValueError, match="symmetric label noise needs at least 2 classes, got 1"):
            ForwardCorrection(rate)(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("level", [0.0, 0.1, -1e4])
def test_equal_logits_have_a_z_loss_without_eps(level: float) -> None:
    z = torch.full((2, 4), level, dtype=torch.float64, requires_grad=True)
    values = ZLoss(0.3, 10.0, eps=0.0)(z, torch.tensor([0, 1]))
    torch.testing.assert_close(values, torch.full((2,), math.log1p(math.exp(3)) / 0.3, dtype=torch.float64))
    values.sum().backward()
    slope = 1 / (1 + math.exp(-3))
    torch.testing.assert_close(z.grad, slope * (0.25 - torch.eye(4, dtype=torch.float64)[:2]))


def test_scores_far_apart_have_pairwise_losses_that_are_differences() -> None:
    """Of the exponential the loss is the softmax one, however large its exponential."""
    positive = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    negatives = torch.tensor([[300.0, 200.0], [-300.0, -310.0]], dtype=torch.float64)
    value = PairwiseSoftmax("exp", 10.0)(positive, negatives)
    rows = [30 + math.log1p(math.exp(-10)), -30 + math.log1p(math.exp(-1))]
    assert float(value.detach()) == pytest.approx(sum(rows) / 2 - math.log(2), abs=1e-12)
    value.backward()
    torch.testing.assert_close(positive.grad, torch.full((2,), -0.05, dtype=torch.float64))
    far = PairwiseSoftmax("arctan", 0.5)(torch.zeros(1), torch.full((1, 3), -1e4))  # arctan + 1 is below 0
    assert float(far) == pytest.approx(2 * math.log(1e-8))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SoftmaxCrossEntropy("bf16"),
        lambda: SparseSoftmax(0),
        lambda: Softpick(0),
        lambda: SphericalSoftmax(0),
        lambda: ZLoss(0),
        lambda: GeneralizedCrossEntropy(0),
        lambda: Bootstrap(1.1),
        lambda: ForwardCorrection(1.0),
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize("kind", [Sparsemax(), SparseSoftmax(2), Softpick()], ids=name_of)
def test_the_logarithm_of_an_exact_zero_is_no_loss(kind: ProbabilityMap) -> None:
    with pytest.raises(ValueError, match="probabilities above 0"):
        CrossEntropy(kind)


# ---------------------------------------------------------------------------------- losses of rankings


@pytest.mark.parametrize("surrogate", ["tanh", "relu", "arctan"])
def test_every_surrogate_lies_between_the_indicator_and_the_exponential(surrogate: str) -> None:
    d = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    # At a temperature of 1 the loss of a single negative is the surrogate's logarithm.
    loss = PairwiseSoftmax(surrogate, 1.0)
    found = torch.stack([loss(torch.zeros(1).double(), value.view(1, 1)).exp() for value in d])
    assert bool((found <= d.exp() + 1e-7).all())
    assert bool((found >= (d >= 0).double() - 1e-12).all())


def test_the_exponential_is_softmax_loss_over_the_negatives() -> None:
    positive, negatives = double(7) / 4, double(7, 9, seed=1) / 4
    expected = torch.logsumexp((negatives - positive[:, None]) / 0.2, 1) - math.log(9)
    torch.testing.assert_close(PairwiseSoftmax("exp", 0.2)(positive, negatives), expected.mean())
    bpr = -F.logsigmoid((positive[:, None] - negatives) / 0.2).mean()
    torch.testing.assert_close(BayesianRanking(0.2)(positive, negatives), bpr)
    with pytest.raises(ValueError, match="surrogate must be one of"):
        PairwiseSoftmax("cosh")
    with pytest.raises(ValueError, match="temperature"):
        BayesianRanking(0.0)
