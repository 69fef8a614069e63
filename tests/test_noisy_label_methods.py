"""What learns from noisy labels, against formulas, limits and other implementations."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from conftest import SMALL, Command, needs_data, records
from regrun.contracts.output import as_output
from regrun.data import Batch, Features
from regrun.models import MLP, Output
from regrun.regularizers import (
    CoTeaching,
    CutMix,
    EarlyLearning,
    FeatureDropout,
    LabelSmoothing,
    Mixup,
    NestedDropout,
    Regularizer,
    Step,
    WeightAveraging,
)

N, CLASSES = 12, 5


def make_step(logits: Tensor, y: Tensor, task: Any = None, epoch: int = 0, **batch: Any) -> Step:
    given = {"x": torch.zeros(len(y), 2), "y": y, "index": torch.arange(len(y))} | batch
    return Step(Batch(**given), Output(logits), task, 0, epoch)


def fake_task(**more: Any) -> Any:
    return SimpleNamespace(**{"train_samples": N, "classes": CLASSES, "model": nn.Linear(2, CLASSES)} | more)


def logits(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, CLASSES, generator=generator, dtype=torch.float64, requires_grad=True)


Y = torch.arange(N) % CLASSES


# ---------------------------------------------------------------------- ELR


def test_elr_has_the_gradient_of_the_paper() -> None:
    """Lemma 1: ``p - y + weight * g`` with ``g_c = p_c / (1 - <p, t>) sum_k (t_k - t_c) p_k``."""
    elr = EarlyLearning(weight=3, momentum=0.7).double()
    elr.attach(fake_task())
    elr.targets = elr.targets.double()
    for seed in (1, 2):
        elr.penalty(make_step(logits(seed), Y))
    z = logits()
    p = z.detach().softmax(1)
    t = 0.7 * elr.targets.clone() + 0.3 * p
    elr.penalty(make_step(z, Y)).backward()
    g = p / (1 - (p * t).sum(1, keepdim=True)) * ((t * p).sum(1, keepdim=True) - t)
    torch.testing.assert_close(z.grad, 3 * g / N)
    torch.testing.assert_close(elr.targets, t)


def test_elr_remembers_each_sample_by_its_index_and_never_differentiates_the_memory() -> None:
    elr = EarlyLearning(momentum=0.0)
    elr.attach(fake_task())
    z = logits().float().detach().requires_grad_()
    index = torch.tensor([7, 2])
    elr.penalty(make_step(z[:2], Y[:2], index=index))
    torch.testing.assert_close(elr.targets[index], z[:2].detach().softmax(1), atol=1e-4, rtol=1e-3)
    assert elr.targets[[0, 1, 3, 4, 5, 6, 8]].abs().sum() == 0
    assert not elr.targets.requires_grad
    assert "targets" in elr.state_dict()


def test_elr_is_finite_where_the_network_is_certain() -> None:
    elr = EarlyLearning(momentum=0.0)
    elr.attach(fake_task())
    z = torch.full((N, CLASSES), -200.0)
    z[:, 0] = 200.0
    z.requires_grad_()
    for _ in range(3):
        value = elr.penalty(make_step(z, Y))
        value.backward()
        assert value.isfinite()
        assert z.grad is not None
        assert z.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_elr_is_finite_where_the_format_rounds_its_floor_away(dtype: torch.dtype) -> None:
    elr = EarlyLearning(weight=2.0, momentum=0.0, floor=1e-8)
    elr.attach(fake_task(model=nn.Linear(2, CLASSES, dtype=dtype)))
    z = torch.full((N, CLASSES), -200.0, dtype=dtype)
    z[:, 0] = 200.0
    z.requires_grad_()
    value = elr.penalty(make_step(z, Y))
    # 1 - <p, t> is 5e-8 or so in float64, and in float32 the distance of 1 to the number before it.
    least = 1 - (1 - 1e-8) ** 2 / (1 + 3e-8) - 4e-16 if dtype == torch.float64 else torch.finfo(dtype).eps
    assert float(value.detach()) == pytest.approx(2 * math.log(least), rel=1e-6)
    value.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_elr_comes_in_the_format_of_the_loss() -> None:
    elr = EarlyLearning()
    elr.attach(fake_task(model=nn.Linear(2, CLASSES, dtype=torch.bfloat16)))
    assert elr.targets.dtype == torch.float32
    z = logits().detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = elr.penalty(make_step(z, Y))
        assert mixed.dtype == F.cross_entropy(z, Y).dtype == torch.float32
    elr.targets.zero_()
    half = elr.penalty(make_step(z, Y))
    assert half.dtype == F.cross_entropy(z, Y).dtype == torch.bfloat16
    torch.testing.assert_close(half, mixed.bfloat16())
    doubles = EarlyLearning()
    doubles.attach(fake_task(model=nn.Linear(2, CLASSES, dtype=torch.float64)))
    p = logits().detach().softmax(1)
    expected = 3 * torch.log1p(-0.3 * p.square().sum(1)).mean()
    torch.testing.assert_close(doubles.penalty(make_step(logits().detach(), Y)), expected, rtol=1e-14, atol=0)


def test_elr_of_a_mixed_batch_mixes_the_targets_and_follows_the_unmixed_samples() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, CLASSES)
    task = fake_task(model=model)
    elr, mixup = EarlyLearning(weight=1, momentum=0.0), Mixup()
    elr.attach(task)
    mixup.attach(task)
    batch = mixup.transform(Batch(torch.randn(N, 2), Y, torch.arange(N)))
    assert batch.mixture is not None
    output = as_output(model(batch.x))
    value = elr.penalty(Step(batch, output, task, 0, 0))
    t = model(batch.mixture.x).softmax(1).detach()
    share = batch.mixture.share[:, None]
    q = share * t + (1 - share) * t[batch.mixture.partner]
    expected = (1 - (output.logits.softmax(1) * q).sum(1)).log().mean()
    torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-3)


# ----------------------------------------------------------------- smoothing


def test_label_smoothing_is_torchs() -> None:
    smoothing = LabelSmoothing(0.1)
    smoothing.attach(fake_task())
    batch = smoothing.transform(Batch(torch.zeros(N, 2), Y, torch.arange(N)))
    z = logits().float()
    torch.testing.assert_close(F.cross_entropy(z, batch.y), F.cross_entropy(z, Y, label_smoothing=0.1))


# --------------------------------------------------------------------- mixing


@pytest.mark.parametrize("kind", [Mixup, CutMix])
def test_mixing_keeps_the_mean_and_labels_count_what_is_seen(kind: type[Mixup]) -> None:
    torch.manual_seed(0)
    mix = kind(1.0)
    mix.attach(fake_task())
    x = torch.arange(float(N))[:, None, None, None].expand(N, 1, 8, 8).contiguous()
    for _ in range(20):
        batch = mix.transform(Batch(x, Y, torch.arange(N)))
        assert batch.mixture is not None
        share = batch.mixture.share[0]
        torch.testing.assert_close(batch.y.sum(1), torch.ones(N))
        torch.testing.assert_close(batch.x.mean(), x.mean())
        own = share * x + (1 - share) * x[batch.mixture.partner]
        torch.testing.assert_close(batch.x.mean((1, 2, 3)), own.mean((1, 2, 3)), atol=1e-4, rtol=1e-4)
        expected = share * F.one_hot(Y, CLASSES) + (1 - share) * F.one_hot(Y, CLASSES)[batch.mixture.partner]
        torch.testing.assert_close(batch.y, expected.float())
        assert kind is CutMix or share >= 0.5


@pytest.mark.parametrize("kind", [Mixup, CutMix])
def test_labels_are_mixed_in_the_inputs_format(kind: type[Mixup]) -> None:
    mix = kind(1.0)
    mix.attach(fake_task())
    batch = mix.transform(Batch(torch.zeros(N, 1, 8, 8, dtype=torch.float64), Y, torch.arange(N)))
    assert batch.mixture is not None
    share, partner = batch.mixture.share, batch.mixture.partner
    assert share.dtype == batch.y.dtype == torch.float64
    mixed = share[:, None] * F.one_hot(Y, CLASSES) + (1 - share[:, None]) * F.one_hot(Y, CLASSES)[partner]
    assert torch.equal(batch.y, mixed)


def test_symbols_are_not_mixed() -> None:
    mix = Mixup()
    mix.attach(fake_task())
    with pytest.raises(ValueError, match="symbols cannot be mixed"):
        mix.transform(Batch(torch.zeros(N, 2, dtype=torch.int64), Y, torch.arange(N)))


# --------------------------------------------------------------- co-teaching


def test_each_network_learns_from_what_the_other_finds_easy() -> None:
    torch.manual_seed(0)
    mine, peers = torch.randn(N, CLASSES, requires_grad=True), torch.randn(N, CLASSES, requires_grad=True)
    output = Output(mine, aux={"peer": peers})
    step = Step(Batch(torch.zeros(N, 2), Y, torch.arange(N)), output, fake_task(), 0, 10)
    CoTeaching(0.5, start_epoch=0, warmup_epochs=10).loss(step).backward()
    easy = {
        id(z): set(F.cross_entropy(z, Y, reduction="none").topk(N // 2, largest=False).indices.tolist())
        for z in (mine, peers)
    }
    for z, other in ((mine, peers), (peers, mine)):
        assert z.grad is not None
        assert set(z.grad.abs().sum(1).nonzero().squeeze(1).tolist()) == easy[id(other)]


def test_the_forgotten_share_rises_to_its_rate() -> None:
    teaching = CoTeaching(0.4, start_epoch=5, warmup_epochs=4)
    assert [round(teaching.forgotten(e), 3) for e in (0, 4, 5, 6, 7, 9, 50)] == [0, 0, 0, 0.1, 0.2, 0.4, 0.4]
    assert CoTeaching(0.4, 5, 0).forgotten(5) == 0.4


def test_the_pair_differs_and_the_first_is_evaluated() -> None:
    torch.manual_seed(0)
    task = fake_task(model=MLP(Features((2,)), CLASSES, [4]))
    first = task.model
    CoTeaching().attach(task)
    x = torch.randn(3, 2)
    output = task.model(x)
    assert not torch.allclose(output.logits, output.aux["peer"])
    torch.testing.assert_close(task.model.eval()(x).logits, first(x).logits)


# ------------------------------------------------------------------ averaging


def test_the_average_is_torchs_once_its_decay_is_reached() -> None:
    torch.manual_seed(0)
    task = fake_task(model=nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    inner = task.model
    averaging = WeightAveraging(0.5)
    averaging.attach(task)
    theirs = AveragedModel(inner, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    averaging.steps += 100
    theirs.n_averaged += 1
    for _ in range(5):
        with torch.no_grad():
            for parameter in inner.parameters():
                parameter.add_(torch.randn_like(parameter))
        averaging.project(task)
        theirs.update_parameters(inner)
    for ours, other in zip(task.model.average.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(ours, other)
        assert not ours.requires_grad
    x = torch.randn(4, 2)
    torch.testing.assert_close(task.model.eval()(x), task.model.average(x))


# -------------------------------------------------------------------- features


def test_nested_dropout_keeps_the_first_few_unscaled() -> None:
    torch.manual_seed(0)
    task = fake_task(model=MLP(Features((2,)), CLASSES, [64]))
    NestedDropout(5.0).attach(task)
    x = torch.randn(200, 2)
    whole = as_output(task.model.model(x)).features
    counts = []
    for _ in range(1500):
        features = task.model(x).features
        k = int((features != 0).any(0).nonzero().max()) + 1
        torch.testing.assert_close(features[:, :k], whole[:, :k])
        assert not features[:, k:].any()
        counts.append(k)
    k = torch.arange(1, 65)
    weights = (-(k**2) / 50).exp()
    mean = float((k * weights).sum() / weights.sum())
    assert sum(counts) / len(counts) == pytest.approx(mean, abs=0.3)
    task.model.eval()
    torch.testing.assert_close(task.model(x).features, whole)


def test_nested_dropout_of_hardly_any_spread_keeps_the_first_feature() -> None:
    task = fake_task(model=MLP(Features((2,)), CLASSES, [8]))
    NestedDropout(1e-8).attach(task)
    x = torch.randn(9, 2)
    features = task.model(x).features
    torch.testing.assert_close(features[:, :1], as_output(task.model.model(x)).features[:, :1])
    assert not features[:, 1:].any()


def test_feature_dropout_acts_before_the_head_only_in_training() -> None:
    torch.manual_seed(0)
    task = fake_task(model=MLP(Features((2,)), CLASSES, [64]))
    FeatureDropout(0.5).attach(task)
    x = torch.rand(50, 2)
    whole = as_output(task.model.model(x)).features
    masked = task.model(x).features
    kept = masked != 0
    torch.testing.assert_close(masked[kept], 2 * whole[kept])
    assert float(kept.sum() / (whole != 0).sum()) == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(task.model.eval()(x).features, whole)


def test_a_model_without_a_linear_head_is_refused() -> None:
    with pytest.raises(ValueError, match="no linear head"):
        NestedDropout().attach(fake_task(model=nn.Sequential(nn.Linear(2, 2))))


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyLearning(momentum=1.0),
        lambda: EarlyLearning(floor=0.5),
        lambda: LabelSmoothing(1.0),
        lambda: Mixup(0),
        lambda: CoTeaching(1.0),
        lambda: CoTeaching(start_epoch=-1),
        lambda: CoTeaching(warmup_epochs=-1),
        lambda: EarlyLearning(weight=math.nan),
        lambda: WeightAveraging(1.0),
        lambda: FeatureDropout(1.0),
        lambda: NestedDropout(0),
    ],
)
def test_parameters_out_of_range_are_refused(make: type[Regularizer]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


def test_elr_cancels_the_pull_of_a_wrong_label() -> None:
    """With a memory of the true class, descent raises the true class's logit rather than lowers it."""
    elr = EarlyLearning(weight=3, momentum=0.9)
    elr.attach(fake_task())
    elr.targets[:, 0] = 0.95
    z = torch.zeros(N, CLASSES)
    z[:, 0] = 2.0
    z.requires_grad_()
    wrong = torch.full((N,), 1)
    F.cross_entropy(z, wrong).backward()
    assert z.grad is not None
    alone = z.grad[0, 0].item()
    z.grad = None
    (F.cross_entropy(z, wrong) + elr.penalty(make_step(z, wrong))).backward()
    assert z.grad is not None
    assert z.grad[0, 0].item() < 0 < alone
    assert math.isfinite(z.grad.sum().item())


@needs_data
def test_the_memory_of_elr_travels_with_the_checkpoint(regrun: Command, tmp_path: Path) -> None:
    words = ("experiment=label_noise", *SMALL, f"data_dir={os.environ['REGRUN_DATA']}", "regularizer=elr")
    assert regrun(*words).code == 0
    (record,) = records(tmp_path)
    state = torch.load(record / "checkpoint.ckpt", weights_only=True)["state_dict"]
    memory = state["regularizers.elr.targets"]
    assert memory.shape == (60, 10)
    weight = 1 - 0.7**2  # after two epochs of two steps
    torch.testing.assert_close(memory.sum(1), torch.full((60,), weight), atol=1e-3, rtol=0)
    assert "best" in state
