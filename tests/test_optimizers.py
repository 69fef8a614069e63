from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrun.optimizers import (
    MuonWithAdamW,
    constant,
    cosine,
    cosine_then_constant,
    inverse_decay,
    linear,
    multistep,
)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


X, Y = torch.randn(20, 6), torch.randint(3, (20,))


def train(model: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 4) -> None:
    for _ in range(steps):
        model.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        for optimizer in optimizers:
            optimizer.step()


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    ours, theirs = net(), net()
    train(ours, MuonWithAdamW(ours.named_parameters(), lr=0.03, adamw_lr=0.01))
    hidden = [theirs[2].weight]
    rest = [p for p in theirs.parameters() if p is not theirs[2].weight]
    train(
        theirs,
        torch.optim.Muon(hidden, lr=0.03, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.99), weight_decay=0.0),
    )
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_muon_goes_on_from_its_saved_state() -> None:
    model = net()
    optimizer = MuonWithAdamW(model.named_parameters())
    train(model, optimizer)
    twin = copy.deepcopy(model)
    resumed = MuonWithAdamW(twin.named_parameters())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer)
    train(twin, resumed)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_schedule_reaches_both_parts_of_muon() -> None:
    model = net()
    optimizer = MuonWithAdamW(model.named_parameters(), lr=0.02, adamw_lr=0.001)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, cosine(10))
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.muon.param_groups[0]["lr"] == pytest.approx(0.01)
    assert optimizer.adamw.param_groups[0]["lr"] == pytest.approx(0.0005)


def test_muon_needs_a_hidden_matrix() -> None:
    with pytest.raises(ValueError, match="hidden matrix"):
        MuonWithAdamW(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)).named_parameters())


def test_schedules_pass_through_their_points() -> None:
    assert [inverse_decay(10, decay=0.5)(step) for step in (0, 1, 2)] == [1, 1 / 1.5, 0.5]
    assert constant(10) is None  # no scheduler to call at every step
    warm = constant(10, warmup=4)
    assert warm is not None
    assert [warm(k) for k in (0, 4, 20)] == pytest.approx([1 / 5, 1, 1])
    assert [cosine(10)(k) for k in (0, 5, 10, 99)] == pytest.approx([1, 0.5, 0, 0])
    assert [linear(10, floor=0.2)(k) for k in (0, 5, 10)] == pytest.approx([1, 0.6, 0.2])
    assert cosine(12, warmup=2)(7) == pytest.approx(0.5)


def test_the_second_stage_is_constant() -> None:
    factor = cosine_then_constant(steps=100, first=0.8, constant=0.25)
    assert factor(0) == 1
    assert factor(40) == pytest.approx(0.5)
    assert factor(79) < 0.001
    assert [factor(step) for step in (80, 99)] == [0.25, 0.25]
    with pytest.raises(ValueError, match="strictly between"):
        cosine_then_constant(steps=10, first=1.0)


def test_milestones_are_shares_of_the_steps() -> None:
    factor = multistep(steps=120, milestones=[1 / 3, 2 / 3], gamma=0.1)
    assert [round(factor(step), 6) for step in (0, 39, 40, 79, 80, 119)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    with pytest.raises(ValueError, match="between 0 and 1"):
        multistep(steps=120, milestones=[40])
