"""Regularizers, models and datasets of the papers on training dynamics, by their mathematics."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from regrun.data import (
    MNIST,
    Batch,
    BinaryPatterns,
    Classification,
    CleanLabels,
    Digits,
    Downsampled,
    Features,
    Images,
    LongTailed,
    ModularArithmetic,
    NextToken,
    OriginalPixels,
    PermutationGroup,
    PolynomialRegression,
    SparseRegression,
    StudentTeacher,
    TinyShakespeare,
    Tokens,
    UnitRange,
)
from regrun.models import MLP, Committee, Output, Quadratic, SmallTransformer
from regrun.models.small_cnn import BlockBatchNorm2d, SmallCNN
from regrun.regularizers import (
    BlockGradientNorm,
    ClassCentres,
    ClipGradient,
    DeferredReweighting,
    JacobianNorm,
    Step,
)
from regrun.regularizers.class_centres import smallest_angle

NOWHERE = Path("nowhere")
needs_data = pytest.mark.skipif(
    "REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where data files lie"
)


# --------------------------------------------------------------- regularizers


def test_the_jacobian_penalty_is_unbiased_for_a_linear_map() -> None:
    """All samples share the Jacobian, so that its squared estimates average to the squared norm."""
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    penalty = JacobianNorm(rate=1.0, projections=4000)
    batch = penalty.transform(Batch(torch.randn(2, 5), torch.zeros(2), torch.arange(2)))
    step = Step(batch, Output(model(batch.x)), SimpleNamespace(), 0, 0)  # type: ignore[arg-type]
    found = penalty.penalty(step)
    assert float(found.detach()) == pytest.approx(float(model.weight.norm().detach()), rel=0.03)
    found.backward()
    assert model.weight.grad is not None
    expected = model.weight.detach() / model.weight.detach().norm()
    assert float((model.weight.grad - expected).norm()) < 0.05


def test_the_jacobian_penalty_refuses_symbols() -> None:
    with pytest.raises(ValueError, match="symbols have no Jacobian"):
        JacobianNorm().attach(SimpleNamespace(inputs=Tokens(5, 2)))  # type: ignore[arg-type]


def test_block_gradient_norm_descends_the_loss_it_names() -> None:
    """Its forward difference against the gradient of the penalty by double backward."""
    torch.manual_seed(0)
    model = MLP(Features((4,)), 3, hidden=(6,), activation="tanh").double()
    x, y = torch.randn(12, 4).double(), torch.randint(3, (12,))
    batch = Batch(x, y, torch.arange(12))
    task = SimpleNamespace(model=model, criterion=Classification())
    penalty = BlockGradientNorm(block=4, lr=0.3, strength=0.7, difference=1e-5)
    before = [w.detach().clone() for w in model.parameters()]
    F.cross_entropy(model(x).logits, y).backward()
    penalty.transform(batch)
    penalty.edit_gradients(task)  # type: ignore[arg-type]
    found = [w.grad for w in model.parameters()]
    assert all(torch.equal(w, kept) for w, kept in zip(model.parameters(), before, strict=True))

    weights = dict(model.named_parameters())

    def objective(w: dict[str, Tensor]) -> Tensor:
        def loss(v: dict[str, Tensor], part: slice) -> Tensor:
            return F.cross_entropy(functional_call(model, v, (x[part],)).logits, y[part])

        parts = [slice(k, None, 3) for k in range(3)]
        squares = []
        for part in parts:
            g = torch.func.grad(loss)(w, part)
            squares.append(sum(v.square().sum() for v in g.values()))
        return loss(w, slice(None)) + 0.7 * 0.3 / 4 * sum(squares) / 3

    expected = torch.func.grad(objective)({k: w.detach() for k, w in weights.items()})
    for g, e in zip(found, expected.values(), strict=True):
        torch.testing.assert_close(g, e, atol=1e-6, rtol=1e-4)


def test_running_statistics_stay_where_blocks_are_perturbed() -> None:
    torch.manual_seed(0)
    model = SmallCNN(Images((1, 8, 8), (0.0,), (1.0,)), 3, (4,), (1,))
    x, y = torch.randn(12, 1, 8, 8), torch.randint(3, (12,))
    task = SimpleNamespace(model=model, criterion=Classification())
    F.cross_entropy(model(x).logits, y).backward()
    kept = {name: value.clone() for name, value in model.named_buffers()}
    penalty = BlockGradientNorm(block=4)
    penalty.transform(Batch(x, y, torch.arange(12)))
    penalty.edit_gradients(task)  # type: ignore[arg-type]
    for name, value in model.named_buffers():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value, kept[name])
    assert all(m.momentum == 0.1 for m in model.modules() if isinstance(m, nn.BatchNorm2d))


def test_clipping_keeps_the_direction() -> None:
    model = nn.Linear(2, 2, bias=False)
    model.weight.grad = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    ClipGradient(norm=1.0).edit_gradients(SimpleNamespace(model=model))  # type: ignore[arg-type]
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.0], [0.0, 0.8]]))
    ClipGradient(norm=5.0).edit_gradients(SimpleNamespace(model=model))  # type: ignore[arg-type]
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, 0.0], [0.0, 0.8]]))


def centres_of(task_width: int = 4) -> tuple[ClassCentres, SimpleNamespace]:
    torch.manual_seed(0)
    model = MLP(Features((3,)), 3, hidden=(task_width,))
    task = SimpleNamespace(model=model, classes=3)
    penalty = ClassCentres(compactness=0.5, separation=0.25, centre_lr=0.1)
    penalty.attach(task)  # type: ignore[arg-type]
    return penalty, task


def test_class_centres_weigh_classes_alike_and_descend() -> None:
    penalty, task = centres_of()
    features = torch.randn(6, 4, requires_grad=True)
    y = torch.tensor([0, 0, 0, 0, 1, 2])
    step = SimpleNamespace(output=Output(torch.zeros(6, 3), features), batch=Batch(features, y, y))
    before = penalty.centres.clone()
    c = before.clone().requires_grad_()
    parts = [(features.detach()[y == k] - c[k]).square().sum(1).mean() for k in range(3)]
    expected = 0.5 * sum(parts) / 3 - 0.25 * smallest_angle(c)  # type: ignore[operator]
    found = penalty.penalty(step)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    penalty.edit_gradients(task)  # type: ignore[arg-type]
    torch.testing.assert_close(penalty.centres, before - 0.1 * c.grad)
    # The gradient on a feature of a rare class is as large as that on all of a frequent one together.
    pull = 2 * 0.5 / 3 * (features.detach()[4] - before[1])
    assert features.grad is not None
    torch.testing.assert_close(features.grad[4], pull)


def test_the_smallest_angle_is_largest_for_a_simplex() -> None:
    assert float(smallest_angle(torch.eye(4))) == pytest.approx(math.acos(-1 / 3), abs=1e-4)
    assert float(smallest_angle(torch.randn(4, 3))) < math.acos(-1 / 3)


def test_rare_classes_weigh_more_from_an_epoch_on() -> None:
    y = torch.tensor([0] * 90 + [1] * 10)
    splits = SimpleNamespace(train=SimpleNamespace(y=y))
    task = SimpleNamespace(classes=2, splits_on_device=lambda: splits)
    loss = DeferredReweighting(from_epoch=2, beta=0.99)
    loss.attach(task)  # type: ignore[arg-type]
    expected = torch.tensor([(1 - 0.99) / (1 - 0.99**90), (1 - 0.99) / (1 - 0.99**10)])
    torch.testing.assert_close(loss.weights, expected / expected.mean())
    z = torch.randn(100, 2)
    for epoch, weights in ((1, torch.ones(2)), (2, loss.weights)):
        step = SimpleNamespace(output=Output(z), batch=Batch(z, y, y), epoch=epoch)
        expected = (F.cross_entropy(z, y, reduction="none") * weights[y]).mean()
        torch.testing.assert_close(loss.loss(step), expected)  # type: ignore[arg-type]


# --------------------------------------------------------------------- models


def test_the_quadratic_network_has_a_solution_of_single_waves() -> None:
    """Gromov's: neuron k is cos(2 pi s m / p + a) and so on, for both operands and the output."""
    p, hidden = 13, 6 * 64
    model = Quadratic(Tokens(p, 2), p, hidden).double()
    generator = torch.Generator().manual_seed(0)
    s = (torch.arange(hidden) % ((p - 1) // 2) + 1).double()
    a, b = (2 * math.pi * torch.rand(hidden, generator=generator, dtype=torch.float64) for _ in range(2))
    m = torch.arange(p, dtype=torch.float64)[:, None]
    with torch.no_grad():
        model.first.weight[:p] = torch.cos(2 * math.pi * s * m / p + a)
        model.first.weight[p:] = torch.cos(2 * math.pi * s * m / p + b)
        model.head.weight.copy_(torch.cos(2 * math.pi * s * m / p + a + b))
    x, y = ModularArithmetic(p).table()
    assert torch.equal(model(x).logits.argmax(1), y)


def test_a_committee_begins_at_zero_and_moves_at_one_speed() -> None:
    """With a learning rate proportional to 1 / alpha^2 the first step moves outputs alike."""
    x, y = torch.randn(10, 4).double(), torch.randn(10, 1).double()
    moved = []
    for alpha in (0.5, 2.0):
        torch.manual_seed(0)
        model = Committee(Features((4,)), 1, hidden=50, alpha=alpha).double()
        assert not model(x).logits.any()
        F.mse_loss(model(x).logits, y).backward()
        with torch.no_grad():
            model.weight -= 1e-6 / alpha**2 * model.weight.grad
        moved.append(model(x).logits.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-5, atol=0)


def test_blocks_are_normalized_as_batches_of_their_own() -> None:
    torch.manual_seed(0)
    x = torch.randn(12, 3, 4, 4)
    ours, plain = BlockBatchNorm2d(3, 4), nn.BatchNorm2d(3)
    found = ours(x)
    means, variances = [], []
    for k in range(3):
        fresh = nn.BatchNorm2d(3)
        torch.testing.assert_close(found[k::3], fresh(x[k::3]))
        means.append(fresh.running_mean)
        variances.append(fresh.running_var)
    torch.testing.assert_close(ours.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(ours.running_var, torch.stack(variances).mean(0))
    torch.testing.assert_close(BlockBatchNorm2d(3, 12)(x), plain(x))
    with pytest.raises(ValueError, match="blocks of 5 samples do not divide a batch of 12"):
        BlockBatchNorm2d(3, 5)(x)


def test_the_scale_of_initial_weights_is_a_factor() -> None:
    models = []
    for scale in (1.0, 8.0):
        torch.manual_seed(0)
        models.append(MLP(Features((3,)), 2, hidden=(4,), init_scale=scale))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(8 * a, b)
    with pytest.raises(ValueError, match="unknown activation 'tahn'; did you mean 'tanh'"):
        MLP(Features((3,)), 2, activation="tahn")


def test_the_loss_of_the_next_token_is_over_all_positions() -> None:
    model = SmallTransformer(Tokens(7, 5), 7, width=8, heads=2, layers=1)
    x, y = torch.randint(7, (4, 5)), torch.randint(7, (4, 5))
    output, batch = Output(model(x)), Batch(x, y, torch.arange(4))
    log_p = output.logits.log_softmax(-1).gather(-1, y[..., None])
    criterion = NextToken()
    torch.testing.assert_close(criterion.loss(output, batch), -log_p.mean())
    scores = criterion.score(output, batch)
    assert scores["loss"].shape == (4,)
    torch.testing.assert_close(scores["loss"].mean().float(), -log_p.mean())


# ------------------------------------------------------------------- datasets


def test_permutations_are_a_group_and_do_not_commute() -> None:
    x, y = PermutationGroup(4).table()
    table = y.view(24, 24)
    assert torch.equal(table[0], torch.arange(24))  # the first in order is the identity
    assert torch.equal(table[:, 0], torch.arange(24))
    assert all(len(row.unique()) == 24 for row in table)
    a, b, c = torch.randint(24, (3, 200))
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert not torch.equal(table, table.T)
    every = list(permutations(range(4)))
    assert every[int(table[5, 9])] == tuple(every[5][k] for k in every[9])
    assert len(x) == 576


def test_redrawn_labels_may_be_true_where_that_is_asked() -> None:
    shares = {}
    for include in (False, True):
        train = ModularArithmetic(7, train_fraction=0.9, label_corruption=1.0, include_true=include)
        splits = train.load(NOWHERE, 0)
        shares[include] = float((splits.train.y == splits.train.clean).double().mean())
    assert shares[False] == 0
    assert 0 < shares[True] < 0.4


@pytest.mark.parametrize(
    ("dataset", "truth"),
    [
        (PolynomialRegression(50, 20, 9), lambda x: (9**0.5 * x[:, :1]) ** 2 / 2),
        (PolynomialRegression(50, 20, 9, (1.0, 2.0)), lambda x: 1 + 2 * 3 * x[:, :1]),
        (SparseRegression(50, 20, 9, relevant=3), lambda x: x[:, :3].sum(1, keepdim=True)),
    ],
)
def test_regression_targets_are_what_they_say(
    dataset: PolynomialRegression, truth: Callable[[Tensor], Tensor]
) -> None:
    splits = dataset.load(NOWHERE, 3)
    for split in (splits.train, splits.test):
        torch.testing.assert_close(split.y, truth(split.x))
    assert len(splits.train) == 50
    assert len(splits.test) == 20
    assert torch.equal(splits.train.x, dataset.load(NOWHERE, 3).train.x)
    assert not torch.equal(splits.train.x, dataset.load(NOWHERE, 4).train.x)


def test_noise_is_on_train_targets_only() -> None:
    splits = StudentTeacher(4000, 50, 5, units=2, noise=0.5).load(NOWHERE, 0)
    assert float((splits.train.y - splits.train.clean).std()) == pytest.approx(0.5, rel=0.05)
    assert splits.test.y is splits.test.clean
    inputs = PolynomialRegression(4000, 10, 25).load(NOWHERE, 0).train.x
    assert float(inputs.var()) == pytest.approx(1 / 25, rel=0.05)


def test_binary_patterns_are_balanced_and_labelled_by_a_quadratic_form() -> None:
    splits = BinaryPatterns(8).load(NOWHERE, 0)
    x = torch.cat([splits.train.x, splits.test.x])
    y = torch.cat([splits.train.y, splits.test.y])
    assert len(x.unique(dim=0)) == 256
    assert int(y.sum()) == 128
    # A quadratic form is the same for x and -x, but for ties at the median.
    label = {tuple(row.tolist()): int(k) for row, k in zip(x, y, strict=True)}
    same = sum(label[tuple((-row).tolist())] == int(k) for row, k in zip(x, y, strict=True))
    assert same >= 254
    assert len(splits.train) == int(0.85 * 256)


def test_digits_are_all_there() -> None:
    splits = Digits(0.8).load(NOWHERE, 0)
    assert len(splits.train) + len(splits.test) == 1797
    assert 0 <= float(splits.train.x.min()) < float(splits.train.x.max()) == 1


def mnist(limit: int) -> MNIST:
    return MNIST(CleanLabels(), OriginalPixels(), train_limit=limit, test_limit=50)


@needs_data
def test_long_tails_are_geometric() -> None:
    data_dir = Path(os.environ["REGRUN_DATA"])
    dataset = LongTailed(mnist(3000), largest=100, imbalance=50.0)
    splits = dataset.load(data_dir, 0)
    counts = torch.bincount(splits.train.y, minlength=10).tolist()
    assert counts == dataset.counts == [round(100 * 50 ** (-c / 9)) for c in range(10)]
    assert len(splits.test) == 50
    with pytest.raises(ValueError, match=r"class 0 has .* samples, fewer than the 1000 wanted"):
        LongTailed(mnist(100), largest=1000).load(data_dir, 0)


@needs_data
def test_images_made_smaller_are_means_of_pixels() -> None:
    data_dir = Path(os.environ["REGRUN_DATA"])
    large, small = mnist(20).load(data_dir, 0), Downsampled(mnist(20), 2).load(data_dir, 0)
    assert small.train.x.shape == (20, 1, 14, 14)
    pixels = large.train.x.float()
    mean = (
        pixels[..., ::2, ::2] + pixels[..., 1::2, ::2] + pixels[..., ::2, 1::2] + pixels[..., 1::2, 1::2]
    ) / 4
    assert float((small.train.x.float() - mean).abs().max()) <= 0.5
    with pytest.raises(ValueError, match="factor must divide 28 and 28, got 3"):
        Downsampled(mnist(20), 3)
    plain = UnitRange(mnist(20))
    values = plain.inputs.prepare(plain.load(data_dir, 0).train.x)
    assert float(values.min()) == 0
    assert float(values.max()) == pytest.approx(1)


@needs_data
def test_windows_of_text_predict_their_next_character() -> None:
    data_dir = Path(os.environ["REGRUN_DATA"])
    splits = TinyShakespeare(context=16, train_limit=10, test_limit=5).load(data_dir, 0)
    assert torch.equal(splits.train.x[:, 1:], splits.train.y[:, :-1])
    assert splits.train.x.shape == (10, 16)
    assert int(splits.train.x.max()) < 65
    with pytest.raises(ValueError, match=r"put tinyshakespeare\.txt of the char-rnn repository there"):
        TinyShakespeare().load(NOWHERE, 0)
