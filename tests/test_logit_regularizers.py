"""What acts on logits, heads, weights and targets, against identities, limits and closed forms."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.data import Batch, Features, Images
from regrun.losses import SparseSoftmaxLoss, ZLoss
from regrun.models import MLP, Output, SmallCNN
from regrun.models.angular_heads import CosineHead, WrappedCauchyHead
from regrun.models.output import as_output
from regrun.regularizers import (
    AdaptiveConditionalSmoothing,
    AngularHead,
    LabelSmoothing,
    LogitAttenuation,
    LogitMargin,
    Loss,
    MaxSuppression,
    NoisySoftmax,
    NormLoss,
    ProgressiveTargets,
    Regularizer,
    SmoothingGaps,
    SoftTargets,
    Step,
    WeightCompander,
)
from regrun.regularizers.lawn import constrained
from regrun.regularizers.max_suppression import smoothing_error
from regrun.regularizers.norm_loss import row_norms
from regrun.regularizers.weight_compander import Compander
from regrun.tasks.supervised import loss_among

N, CLASSES = 40, 6
Y = torch.arange(N) % CLASSES
PIXELS = Images((3, 8, 8), (0.5,) * 3, (0.2,) * 3)


def drawn(*shape: int, scale: float = 3.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def step_of(z: Tensor, y: Tensor = Y, features: Tensor | None = None, task: Any = None, **more: Any) -> Step:
    place = {"number": 0, "epoch": 0} | more
    return Step(Batch(z, y, torch.arange(len(y))), Output(z, features), task, **place)


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


# ---------------------------------------------------------------------- noisy softmax


def classifier() -> tuple[MLP, Tensor, SimpleNamespace]:
    torch.manual_seed(0)
    model = MLP(Features((5,)), CLASSES, hidden=(7,), bias=False, activation="tanh")
    return model, torch.randn(N, 5), SimpleNamespace(model=model, classes=CLASSES)


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


def test_a_head_with_a_bias_is_refused() -> None:
    model = MLP(Features((5,)), CLASSES)
    with pytest.raises(ValueError, match="without bias"):
        NoisySoftmax().attach(SimpleNamespace(model=model))


# ---------------------------------------------------------------------- rows of norm 1


def test_norm_loss_is_decay_that_changes_sign_at_norm_one() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 4)).double()
    NormLoss(0.3).penalty(step_of(drawn(N, CLASSES), task=SimpleNamespace(model=model))).backward()
    for layer in (model[0], model[3]):
        w = layer.weight.detach().flatten(1)
        norms = w.norm(dim=1, keepdim=True)
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.weight.grad.flatten(1), 0.6 * (1 - 1 / norms) * w)
        assert layer.bias.grad is None
    assert model[1].weight.grad is None
    assert sum(len(norms) for norms in row_norms(model)) == 7
    nn.init.zeros_(model[3].weight)
    model.zero_grad()
    NormLoss().penalty(step_of(drawn(N, CLASSES), task=SimpleNamespace(model=model))).backward()
    assert model[3].weight.grad is not None
    assert model[3].weight.grad.isfinite().all()


# -------------------------------------------------------------------- weight compander


@pytest.mark.parametrize("function", ["arctan", "tanh", "clamp"])
def test_companded_weights_begin_as_they_were_and_stay_within_their_bound(function: str) -> None:
    torch.manual_seed(0)
    model = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1], pool=True)
    plain = copy.deepcopy(model).eval()
    WeightCompander(4.0, 2.0, function).attach(SimpleNamespace(model=model))
    x = torch.randn(3, 3, 8, 8)
    torch.testing.assert_close(model.eval()(x).logits, plain(x).logits, atol=1e-5, rtol=1e-4)
    bounds = [4 * float(layer.weight.std()) for layer in (plain.body[0], plain.head)]
    for layer, bound in zip((model.body[0], model.head), bounds, strict=True):
        with torch.no_grad():
            layer.parametrizations.weight.original.mul_(1e6)
        assert float(layer.weight.detach().abs().max()) <= bound * (1 + 1e-5)
        assert float(layer.weight.detach().abs().max()) > 0.99 * bound
    names = [name for name, _ in model.named_parameters()]
    assert any(name.endswith("head.parametrizations.weight.original") for name in names)


@pytest.mark.parametrize(("function", "slope"), [("arctan", 2.0), ("tanh", 2.0), ("clamp", 1.0)])
def test_a_compander_has_its_slope_at_zero_and_its_inverse(function: str, slope: float) -> None:
    compander = Compander(0.5, 2.0, function, learnt=True)
    v = torch.zeros(3, requires_grad=True)
    compander(v).sum().backward()
    assert v.grad is not None
    torch.testing.assert_close(v.grad, torch.full((3,), slope))
    w = torch.linspace(-0.4, 0.4, 9)
    torch.testing.assert_close(compander(compander.right_inverse(w)), w)
    assert {name for name, _ in compander.named_parameters()} == {"log_a", "log_b"}
    assert not list(Compander(0.5, 2.0, function, learnt=False).parameters())


# -------------------------------------------------------------------------------- LAWN


def trained(optimizer_of: Any, steps: int, lawn: LogitAttenuation | None) -> tuple[MLP, list[float]]:
    torch.manual_seed(0)
    model = MLP(Features((5,)), CLASSES, hidden=(16,))
    optimizer = optimizer_of(model.parameters())
    task = SimpleNamespace(model=model, optimizer=optimizer)
    if lawn is not None:
        lawn.attach(task)
    x = torch.randn(N, 5)
    norms = []
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(x).logits, Y).backward()
        if lawn is not None:
            lawn.edit_gradients(task)
            for weight in constrained(model) if int(lawn.done) > lawn.free_steps else []:
                assert abs(float((weight.grad * weight).sum())) < 1e-5
        optimizer.step()
        if lawn is not None:
            lawn.project(task)
        norms.append(float(constrained(model)[-1].detach().norm()))
    return model, norms


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_norms_are_fixed_after_the_free_steps(kind: str) -> None:
    def make(parameters: Any) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        return torch.optim.Adam(parameters, lr=0.02)

    _, free = trained(make, 30, None)
    _, held = trained(make, 30, LogitAttenuation(10))
    assert held[:10] == free[:10]
    assert held[9] != held[5]
    for norm in held[10:]:
        assert norm == pytest.approx(held[9], rel=1e-5)
    assert max(free) > 1.2 * held[9]


def test_only_what_follows_the_last_normalization_is_held() -> None:
    normalized = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1])
    assert [w.shape for w in constrained(normalized)] == [normalized.head.weight.shape]
    free = SmallCNN(PIXELS, CLASSES, widths=[4, 4], strides=[1, 1], normalized=False, hidden=8)
    assert len(constrained(free)) == 4


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


# ------------------------------------------------------------------------ angular heads


def test_the_wrapped_cauchy_head_is_a_density_of_the_angle() -> None:
    head = WrappedCauchyHead(2, 1, scale=1.0).double()
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[3.0, 0.0]]))
    angle = torch.linspace(-math.pi, math.pi, 20_001, dtype=torch.float64)
    density = head(5 * torch.stack([angle.cos(), angle.sin()], 1)).squeeze(1)
    assert float(torch.trapezoid(density, angle).detach()) == pytest.approx(1, abs=1e-6)
    g = float(head.concentration)
    assert g == pytest.approx(1 / (1 + math.e))
    assert float(density.max()) == pytest.approx((1 + g) / (1 - g) / (2 * math.pi))


@pytest.mark.parametrize("kind", [CosineHead, WrappedCauchyHead])
def test_lengths_do_not_matter_to_an_angular_head(kind: type[CosineHead]) -> None:
    torch.manual_seed(0)
    head = kind(7, CLASSES)
    x = torch.randn(N, 7)
    z = head(x)
    with torch.no_grad():
        head.weight.mul_(torch.rand(CLASSES, 1) + 0.5)
    torch.testing.assert_close(head(9 * x), z)
    z = head(x)
    assert float(head.scale) == pytest.approx(1 + math.log(2))
    assert float(kind(7, CLASSES, 30.0).scale) == 30
    z.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_a_head_is_replaced_in_place() -> None:
    model, x, task = classifier()
    AngularHead("wrapped_cauchy").attach(task)
    assert isinstance(model.head, WrappedCauchyHead)
    assert model(x).logits.shape == (N, CLASSES)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MaxSuppression(-1),
        lambda: LogitMargin(margin=-1),
        lambda: AdaptiveConditionalSmoothing(negative=-1),
        lambda: NoisySoftmax(-0.1),
        lambda: NoisySoftmax(kind="loud"),
        lambda: NormLoss(math.nan),
        lambda: WeightCompander(bound=0),
        lambda: WeightCompander(function="sine"),
        lambda: LogitAttenuation(-1),
        lambda: ProgressiveTargets(1.2),
        lambda: LabelSmoothing(until=-1),
        lambda: AngularHead("sine"),
        lambda: AngularHead(scale=0),
    ],
)
def test_parameters_out_of_range_are_refused(make: type[Regularizer]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
