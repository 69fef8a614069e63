"""What acts on logits and targets, against identities, limits and closed forms."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.output import as_output
from regrun.data import Batch, Features
from regrun.losses import SparseSoftmaxLoss, ZLoss
from regrun.models import MLP, Output, SmallCNN
from regrun.regularizers import (
    AdaptiveConditionalSmoothing,
    ClassCentres,
    DeferredReweighting,
    LabelSmoothing,
    LogitMargin,
    Loss,
    MaxSuppression,
    NoisySoftmax,
    ProgressiveTargets,
    RegionLabels,
    Regularizer,
    SmoothingGaps,
    SoftTargets,
    Step,
)
from regrun.regularizers.class_centres import smallest_angle
from regrun.regularizers.loss import loss_among
from regrun.regularizers.max_suppression import smoothing_error
from samples import CLASSES, PIXELS, N, Y, classifier, drawn, step_of


def right(z: Tensor) -> Tensor:
    """Logits whose largest is the label's."""
    z = z.clone()
    z[torch.arange(N), Y] = z.amax(1) + 1
    return z


# ------------------------------------------------------------------ max suppression


def test_label_smoothing_is_cross_entropy_and_its_two_parts() -> None:
    z = drawn(N, CLASSES)
    smooth = F.cross_entropy(z, Y, label_smoothing=0.1)
    gaps = SmoothingGaps(0.1).penalty(step_of(z))
    torch.testing.assert_close(smooth, F.cross_entropy(z, Y) + gaps - 0.1 * smoothing_error(z, Y).mean())
    own = z[torch.arange(N), Y]
    torch.testing.assert_close(smooth, F.cross_entropy(z, Y) + 0.1 * (own - z.mean(1)).mean())


def test_without_errors_label_smoothing_and_max_suppression_are_one() -> None:
    z = right(drawn(N, CLASSES))
    expected = F.cross_entropy(z, Y, label_smoothing=0.1) - F.cross_entropy(z, Y)
    torch.testing.assert_close(MaxSuppression(0.1).penalty(step_of(z)), expected)
    torch.testing.assert_close(SmoothingGaps(0.1).penalty(step_of(z)), expected)
    wrong = drawn(N, CLASSES)
    assert MaxSuppression(0.1).penalty(step_of(wrong)) > SmoothingGaps(0.1).penalty(step_of(wrong))


def test_max_suppression_pulls_the_largest_down_and_all_up() -> None:
    z = drawn(N, CLASSES).requires_grad_()
    MaxSuppression(0.1).penalty(step_of(z)).backward()
    top = F.one_hot(z.detach().argmax(1), CLASSES)
    torch.testing.assert_close(z.grad, (0.1 / N * (top.double() - 1 / CLASSES)))


# -------------------------------------------------------------------- logit margins


@pytest.mark.parametrize("gap", [True, False])
def test_logits_within_the_margin_cost_nothing(gap: bool) -> None:
    z = drawn(N, CLASSES, scale=0.1)
    z = (z - z.amin(1, keepdim=True)).requires_grad_()
    for penalty in (LogitMargin(margin=2.0), AdaptiveConditionalSmoothing(margin=2.0, gap=gap)):
        value = penalty.penalty(step_of(z))
        value.backward()
        assert float(value.detach()) == 0
        assert z.grad is not None
        assert not z.grad.any()


def test_acls_is_its_formula_and_does_not_raise_the_top_to_please_the_rest() -> None:
    z = drawn(N, CLASSES).requires_grad_()
    penalty = AdaptiveConditionalSmoothing(0.5, 2.0, 0.3, margin=1.0, gap=True)
    value = penalty.penalty(step_of(z))
    rows = []
    for row in z.detach():
        top = int(row.argmax())
        first = max(float(row[top] - row.min()) - 1, 0) ** 2
        rest = [max(float(row[top] - v) - 1, 0) ** 2 for k, v in enumerate(row) if k != top]
        rows.append(2.0 * first + 0.3 * sum(rest) / len(rest))
    assert float(value.detach()) == pytest.approx(0.5 * sum(rows) / N)
    # The other classes' part is not differentiated by the largest logit.
    only_rest = AdaptiveConditionalSmoothing(0.5, 0.0, 0.3, margin=1.0)
    only_rest.penalty(step_of(z)).backward()
    assert z.grad is not None
    assert not z.grad.gather(1, z.detach().argmax(1, keepdim=True)).any()
    torch.testing.assert_close(
        LogitMargin(1.0, 1.0).penalty(step_of(z)), (z.amax(1, keepdim=True) - z - 1).relu().mean()
    )


def test_the_authors_first_term_is_the_top_logit_itself() -> None:
    z = drawn(N, CLASSES)
    value = AdaptiveConditionalSmoothing(1.0, 1.0, 0.0, margin=2.0).penalty(step_of(z))
    torch.testing.assert_close(value, (z.amax(1) - 2).relu().square().mean())


@pytest.mark.parametrize(("gap", "expected"), [(False, 0.5 * 2 * 4), (True, 0.0)])
def test_a_single_class_has_no_others_to_smooth(gap: bool, expected: float) -> None:
    z = torch.full((3, 1), 8.0, requires_grad=True)
    value = AdaptiveConditionalSmoothing(0.5, 2.0, 0.3, margin=6.0, gap=gap).penalty(step_of(z))
    assert float(value.detach()) == pytest.approx(expected)
    value.backward()
    torch.testing.assert_close(z.grad, torch.full((3, 1), 0.0 if gap else 0.5 * 2 * 2 * 2 / 3))


@pytest.mark.parametrize(
    "penalty",
    [
        AdaptiveConditionalSmoothing(margin=1.0),
        LogitMargin(margin=1.0),
        MaxSuppression(),
        SmoothingGaps(),
    ],
    ids=lambda penalty: type(penalty).__name__,
)
def test_the_symbols_of_sequences_count_as_samples(penalty: Regularizer) -> None:
    z = drawn(N, CLASSES)
    sequences, symbols = z.view(4, -1, CLASSES), Y.view(4, -1)
    torch.testing.assert_close(penalty.penalty(step_of(sequences, symbols)), penalty.penalty(step_of(z)))


def test_the_errors_of_sequences_are_those_of_their_symbols() -> None:
    z = drawn(N, CLASSES)
    found = smoothing_error(z.view(4, -1, CLASSES), Y.view(4, -1))
    torch.testing.assert_close(found.flatten(), smoothing_error(z, Y))


# ---------------------------------------------------------------------- noisy softmax


def test_noise_lowers_the_target_alone_and_not_where_the_angle_is_zero() -> None:
    model, x, task = classifier()
    output = model(x)
    for kind in ("angular", "amplitude"):
        noisy = NoisySoftmax(0.5, kind)
        noisy.attach(task)
        step = step_of(output.logits, features=output.features, task=task)
        z = noisy.noisy(step, output.logits, Y)
        own, before = z[torch.arange(N), Y], output.logits[torch.arange(N), Y]
        assert (own < before).all()
        others = F.one_hot(Y, CLASSES) == 0
        torch.testing.assert_close(z[others], output.logits[others])
    # A feature along its class's row has nothing to lose.
    aligned = model.head.weight[Y] * 2
    z = aligned @ model.head.weight.T
    noisy = NoisySoftmax(1.0)
    torch.testing.assert_close(noisy.noisy(step_of(z, features=aligned, task=task), z, Y), z)


def test_no_noise_is_cross_entropy_and_free_noise_has_mean_zero() -> None:
    model, x, task = classifier()
    output = model(x)
    step = step_of(output.logits, features=output.features, task=task)
    torch.testing.assert_close(NoisySoftmax(0.0).loss(step), F.cross_entropy(output.logits, Y))
    own = output.logits[torch.arange(N), Y]
    shift = torch.stack(
        [
            NoisySoftmax(1.0, "free").noisy(step, output.logits, Y)[torch.arange(N), Y] - own
            for _ in range(400)
        ]
    )
    assert float((shift.mean(0) / shift.std(0)).abs().max().detach()) < 4.5 / math.sqrt(400)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_is_added_in_the_models_format_or_float32(dtype: torch.dtype) -> None:
    model, x, task = classifier()
    model, x = model.to(dtype), x.to(dtype)
    output = model(x)
    torch.manual_seed(1)
    loss = NoisySoftmax(0.5).loss(step_of(output.logits, features=output.features, task=task))
    wide = torch.promote_types(dtype, torch.float32)
    assert loss.dtype == wide
    torch.manual_seed(1)
    z, features, rows = (part.to(wide) for part in (output.logits, output.features, model.head.weight[Y]))
    own = z[torch.arange(N), Y]
    size = math.sqrt(0.5) * torch.randn(N, dtype=wide).abs()
    lowered = z.clone()
    lowered[torch.arange(N), Y] = own - size * (rows.norm(dim=1) * features.norm(dim=1) - own)
    torch.testing.assert_close(loss, F.cross_entropy(lowered, Y))


def test_a_head_with_a_bias_is_refused() -> None:
    model = MLP(Features((5,)), CLASSES)
    with pytest.raises(ValueError, match="without bias"):
        NoisySoftmax().attach(SimpleNamespace(model=model))


# ------------------------------------------------------------------ targets over time


def test_progressive_targets_begin_as_labels_and_come_to_be_predictions() -> None:
    model, x, task = classifier()
    targets = ProgressiveTargets(0.8, epochs=4)
    targets.attach(task)

    def loss(epoch: int) -> Tensor:
        output = as_output(model(x))
        batch = Batch(x, Y, torch.arange(N))
        return targets.loss(Step(batch, output, task, 0, epoch))

    torch.testing.assert_close(loss(0), F.cross_entropy(model(x).logits, Y))
    for epoch in (1, 2, 4):
        with torch.no_grad():
            model.head.weight.mul_(1.5)
        own = model(x).logits
        p = own.detach().softmax(1)
        share = 0.8 * epoch / 4
        mixed = (1 - share) * F.one_hot(Y, CLASSES) + share * p
        torch.testing.assert_close(loss(epoch), F.cross_entropy(own, mixed))
        with torch.no_grad():
            model.head.weight.mul_(0.9)
        # Within an epoch the copy stays what it was, and gives no gradient.
        torch.testing.assert_close(loss(epoch), F.cross_entropy(model(x).logits, mixed))
    assert not any(p.requires_grad for p in targets.past.parameters())


def test_progressive_targets_look_at_a_copy_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    model = SmallCNN(PIXELS, CLASSES, widths=[4], strides=[1])
    task = SimpleNamespace(model=model)
    targets = ProgressiveTargets(1.0)
    targets.attach(task)
    x = torch.randn(N, 3, 8, 8)
    model.train()
    for _ in range(5):
        output = model(x)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = targets.loss(Step(Batch(x, Y, torch.arange(N)), output, task, 5, 1))
    p = copy.deepcopy(model).eval()(x).logits.softmax(1)
    torch.testing.assert_close(loss, F.cross_entropy(output.logits, p))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_smoothing_ends_when_it_should() -> None:
    smoothing = LabelSmoothing(0.4, until=2)
    smoothing.attach(SimpleNamespace(classes=CLASSES))
    seen = [smoothing.transform(Batch(Y, Y, Y)).y for _ in range(4)]
    assert [y.is_floating_point() for y in seen] == [True, True, False, False]
    assert torch.equal(seen[3], Y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_labels_are_smoothed_in_the_inputs_format(dtype: torch.dtype) -> None:
    smoothing = LabelSmoothing(0.1)
    smoothing.attach(SimpleNamespace(classes=3))
    y = smoothing.transform(Batch(torch.zeros(2, 4, dtype=dtype), torch.tensor([0, 2]), torch.arange(2))).y
    assert y.dtype == dtype
    expected = torch.full((2, 3), 0.1 / 3, dtype=torch.float64)
    expected[[0, 1], [0, 2]] += 0.9
    torch.testing.assert_close(y, expected.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_targets_that_replace_labels_are_computed_in_float64_of_a_model_in_float64() -> None:
    model, x, task = classifier()
    task.train_samples = N
    model, x = model.double(), x.double()
    teacher, z = drawn(N, CLASSES, seed=1), model(x).logits
    taught, crops, own = SoftTargets(0.3), RegionLabels(0.0, 0.0), ProgressiveTargets(0.5)
    task.splits_on_device = lambda: SimpleNamespace(train=SimpleNamespace(y=Y))
    for regularizer in (taught, crops):
        regularizer.teach(teacher)
    for regularizer in (taught, crops, own):
        regularizer.attach(task)
    step = Step(Batch(x, Y, torch.arange(N)), Output(z), task, 1, 1)  # type: ignore[arg-type]
    one_hot, p = F.one_hot(Y, CLASSES).double(), teacher.softmax(1)
    for regularizer, targets in (
        (taught, 0.7 * one_hot + 0.3 * p),
        (crops, p),
        (own, 0.5 * one_hot + 0.5 * z.detach().softmax(1)),
    ):
        expected = -(targets * z.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(regularizer.loss(step), expected, rtol=1e-14, atol=0)


# ---------------------------------------------------------------- centres and rare classes


def centres_of(dtype: torch.dtype, classes: int = CLASSES) -> tuple[ClassCentres, Tensor, Any]:
    torch.manual_seed(0)
    model = MLP(Features((5,)), classes, hidden=(7,)).to(dtype)
    task = SimpleNamespace(model=model, classes=classes)
    penalty = ClassCentres()
    penalty.attach(task)  # type: ignore[arg-type]
    return penalty, torch.randn(N, 7).to(dtype), task


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_centres_are_in_the_models_format_and_their_angles_in_float32_at_least(dtype: torch.dtype) -> None:
    penalty, features, task = centres_of(dtype)
    assert penalty.centres.dtype == dtype
    step = step_of(features[:, :CLASSES], features=features, task=task)
    value = penalty.penalty(step)
    assert value.dtype == dtype
    centres = penalty.centres.double()
    squares = (features.double() - centres[Y]).square().sum(1)
    compact = sum(squares[k == Y].mean() for k in range(CLASSES)) / CLASSES
    away = centres - centres.mean(0)
    cosines = F.cosine_similarity(away[:, None], away, dim=-1).fill_diagonal_(-1)
    expected = 0.01 * compact - 0.1 * cosines.amax().arccos()
    torch.testing.assert_close(value.double(), expected, rtol=20 * torch.finfo(dtype).eps, atol=0)
    value.backward()
    before = penalty.centres.clone()
    penalty.edit_gradients(task)
    assert penalty.centres.isfinite().all()
    assert not torch.equal(penalty.centres, before)


def test_a_single_class_has_no_centre_to_be_apart_from() -> None:
    with pytest.raises(ValueError, match="class_centres needs at least 2 classes, got 1"):
        centres_of(torch.float32, 1)
    with pytest.raises(ValueError, match="needs at least 2 of them, got 1"):
        smallest_angle(torch.ones(1, 3))


def test_probabilities_for_a_label_are_of_the_likeliest_class() -> None:
    penalty, features, task = centres_of(torch.float64)
    smooth = 0.9 * F.one_hot(Y, CLASSES).double() + 0.1 / CLASSES
    hard, soft = (penalty.penalty(step_of(features, y, features, task)) for y in (Y, smooth))
    assert torch.equal(hard, soft)


def test_weights_of_rare_classes_are_float64s_of_a_model_in_float64_and_go_with_smooth_labels() -> None:
    y = torch.tensor([0] * 90 + [1] * 10)
    splits = SimpleNamespace(train=SimpleNamespace(y=y))
    loss = DeferredReweighting(from_epoch=0, beta=0.99)
    loss.attach(SimpleNamespace(classes=2, splits_on_device=lambda: splits))  # type: ignore[arg-type]
    weights = torch.tensor([1 / (1 - 0.99**90), 1 / (1 - 0.99**10)], dtype=torch.float64)
    weights /= weights.mean()
    z = drawn(100, 2)
    smooth = 0.9 * F.one_hot(y, 2).double() + 0.05
    for labels in (y, smooth):
        targets = F.one_hot(y, 2) if labels is y else smooth
        expected = -(targets * weights * z.log_softmax(1)).sum(1).mean()
        torch.testing.assert_close(loss.loss(step_of(z, labels)), expected, rtol=1e-13, atol=0)


def test_a_teachers_targets_are_cross_entropy_with_its_probabilities() -> None:
    z, teacher = drawn(N, CLASSES), drawn(N, CLASSES, seed=1)
    task = SimpleNamespace(train_samples=N)
    for temperature in (1.0, 4.0):
        taught = SoftTargets(1.0, temperature)
        taught.teach(teacher)
        taught.attach(task)
        index = torch.randperm(N, generator=torch.Generator().manual_seed(0))
        step = Step(Batch(z, Y, index), Output(z), task, 0, 0)
        expected = (
            F.cross_entropy(z / temperature, (teacher[index] / temperature).softmax(1)) * temperature**2
        )
        torch.testing.assert_close(taught.loss(step), expected, check_dtype=False)
    both = SoftTargets(0.3)
    both.teach(teacher)
    soft = F.cross_entropy(z, teacher.softmax(1))
    mixed = 0.7 * F.cross_entropy(z, Y) + 0.3 * soft
    torch.testing.assert_close(float(both.loss(step_of(z, task=task))), float(mixed), rtol=1e-5, atol=0)
    with pytest.raises(ValueError, match="procedure=distillation"):
        SoftTargets().attach(task)


# ----------------------------------------------------------------------- which loss


def test_a_loss_among_the_regularizers_is_the_loss() -> None:
    z = drawn(N, CLASSES)
    chosen = loss_among({"a": MaxSuppression(), "b": Loss(ZLoss())})
    assert isinstance(chosen, Loss)
    torch.testing.assert_close(chosen.loss(step_of(z)), ZLoss()(z, Y).mean())
    later = Loss(ZLoss(), from_step=3)
    torch.testing.assert_close(later.loss(step_of(z, number=2)), F.cross_entropy(z, Y))
    torch.testing.assert_close(later.loss(step_of(z, number=3)), ZLoss()(z, Y).mean())
    sequences, symbols = drawn(4, 3, CLASSES), Y[:12].view(4, 3)
    torch.testing.assert_close(
        Loss(ZLoss()).loss(step_of(sequences, symbols)),
        ZLoss()(sequences.flatten(0, 1), symbols.flatten()).mean(),
    )
    assert loss_among({"a": MaxSuppression()}) is None


def test_losses_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="a and b both replace the loss"):
        loss_among({"a": Loss(ZLoss()), "b": NoisySoftmax()})
    with pytest.raises(ValueError, match="z takes class indices, and s makes probabilities"):
        loss_among({"z": Loss(ZLoss()), "s": LabelSmoothing()})
    with pytest.raises(ValueError, match="k=9 is larger than the number of scores, 6"):
        Loss(SparseSoftmaxLoss(9)).attach(SimpleNamespace(classes=CLASSES))


@pytest.mark.parametrize(
    "make",
    [
        lambda: MaxSuppression(-1),
        lambda: LogitMargin(margin=-1),
        lambda: AdaptiveConditionalSmoothing(negative=-1),
        lambda: NoisySoftmax(-0.1),
        lambda: NoisySoftmax(kind="loud"),
        lambda: ProgressiveTargets(1.2),
        lambda: LabelSmoothing(until=-1),
    ],
)
def test_parameters_out_of_range_are_refused(make: type[Regularizer]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
