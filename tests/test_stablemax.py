from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from regrun.losses import StableMaxCrossEntropy
from regrun.probability_maps import log_stablemax, stablemax
from regrun.probability_maps.stablemax import stable_growth

stablemax_cross_entropy = StableMaxCrossEntropy()

LOGITS = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def by_definition(x: torch.Tensor) -> torch.Tensor:
    s = torch.tensor([v + 1 if v >= 0 else 1 / (1 - v) for v in x.tolist()], dtype=torch.float64)
    return s / s.sum()


@given(LOGITS)
@settings(deadline=None, max_examples=200)
def test_is_its_definition_on_the_simplex(x: torch.Tensor) -> None:
    p = stablemax(x)
    torch.testing.assert_close(p, by_definition(x), rtol=1e-12, atol=0)
    assert (p > 0).all()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(log_stablemax(x).exp(), p, rtol=1e-12, atol=0)


@given(LOGITS, st.floats(1e-3, 10))
@settings(deadline=None, max_examples=100)
def test_raising_a_logit_raises_its_probability(x: torch.Tensor, delta: float) -> None:
    x = x.clamp(-1e3, 1e3)
    raised = x.clone()
    raised[0] += delta
    assert stablemax(raised)[0] > stablemax(x)[0]
    assert (stablemax(raised)[1:] < stablemax(x)[1:]).all()


def test_keeps_the_order_of_the_logits() -> None:
    x = torch.randn(50, dtype=torch.float64) * 30
    assert torch.equal(stablemax(x).argsort(), x.argsort())


def test_growth_is_smooth_at_zero_and_mirrors() -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    stable_growth(x).backward()
    assert x.grad is not None
    assert x.grad.item() == 1  # also for the logits that a dead network leaves exactly at zero
    y = torch.linspace(-50, 50, 101, dtype=torch.float64)
    torch.testing.assert_close(stable_growth(y) * stable_growth(-y), torch.ones_like(y))


def test_gradients_agree_with_finite_differences() -> None:
    x = (torch.randn(6, 5, dtype=torch.float64) * 4).requires_grad_()
    y = torch.randint(5, (6,))
    assert gradcheck(stablemax, (x,))
    assert gradcheck(log_stablemax, (x,))
    assert gradcheck(lambda z: stablemax_cross_entropy(z, y), (x,))


def test_gradient_is_finite_where_the_other_branch_has_a_pole() -> None:
    x = torch.tensor([[1.0, -1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    stablemax_cross_entropy(x, torch.tensor([0])).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_cross_entropy_is_in_float64_and_never_absorbs() -> None:
    z = torch.zeros(1, 10)
    z[0, 3] = 1e9
    loss = stablemax_cross_entropy(z, torch.tensor([3]))
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(9e-9, rel=1e-6)  # nine other classes, of weight 1e-9 each


def test_cross_entropy_is_minus_the_log() -> None:
    z = torch.randn(8, 4)
    y = torch.randint(4, (8,))
    expected = -log_stablemax(z.double())[torch.arange(8), y]
    torch.testing.assert_close(stablemax_cross_entropy(z, y), expected)
