"""Stochastic differential equations: strong order, error control, and one Brownian path under rejections."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from regrun.solvers import BrownianPath, Controller, MaxStepsError, NonFiniteFieldError, sdeint
from regrun.solvers.sde import take_noisy_step
from regrun.solvers.tolerance import Tolerance, root_mean_square

PATHS = 4000
DRIFT, NOISE = 1.5, 0.8


def path(count: int = PATHS, seed: int = 0, width: int = 1) -> BrownianPath:
    generator = torch.Generator().manual_seed(seed)
    return BrownianPath((count, width), generator=generator, dtype=torch.float64)


def growth(t: Tensor, x: Tensor) -> Tensor:
    return DRIFT * x


def proportional(t: Tensor, x: Tensor) -> Tensor:
    return NOISE * x


def geometric(w: Tensor, t: float = 1.0) -> Tensor:
    """The solution from 1."""
    return torch.exp((DRIFT - NOISE**2 / 2) * t + NOISE * w)


def test_the_strong_order_is_three_halves() -> None:
    """On geometric Brownian motion, and on one whose drift and noise depend on time."""
    ones = torch.ones(PATHS, 1, dtype=torch.float64)
    w = path()
    cases = [
        (growth, proportional, geometric(w.increment(0, 1).w)),
        # d(x) = x / (1 + t) dt + c (1 + t) dW has the solution x = (1 + t) (1 + c W).
        (
            lambda t, x: x / (1 + t),
            lambda t, x: 0.5 * (1 + t) * torch.ones_like(x),
            2 * (1 + 0.5 * w.increment(0, 1).w),
        ),
    ]
    tolerance = Tolerance(1.0, 1.0, root_mean_square)
    for drift, noise, exact in cases:
        errors = []
        for count in (16, 32, 64, 128):
            x = ones
            for k in range(count):
                s, t = k / count, (k + 1) / count
                x = take_noisy_step(drift, noise, s, t - s, x, w.increment(s, t), tolerance, False).y
            errors.append(float((x - exact).abs().mean()))
        slope = np.polyfit(np.log2([16, 32, 64, 128]), np.log2(errors), 1)[0]
        assert -slope > 1.35, errors


def test_scalar_noise_is_shared_within_a_sample() -> None:
    start = torch.tensor([[1.0, 2.0]], dtype=torch.float64).expand(500, 2)
    w = path(500)
    solved = sdeint(growth, proportional, start, [0.0, 1.0], path=w, scalar_noise=True, rtol=1e-4, atol=1e-4)
    exact = start * geometric(w.increment(0, 1).w)
    assert float(((solved.last - exact).abs() / exact).mean()) < 1e-3
    with pytest.raises(ValueError, match=r"shape \(500, 2\)"):
        sdeint(growth, proportional, start, [0.0, 1.0], path=path(500, width=2), scalar_noise=True)


def test_the_error_follows_the_tolerance() -> None:
    errors, evaluations = [], []
    for exponent in (1, 2, 3, 4):
        w = path(500, seed=1)
        start = torch.ones(500, 1, dtype=torch.float64)
        tolerance = 10.0**-exponent
        solved = sdeint(growth, proportional, start, [0.0, 0.5, 1.0], path=w, rtol=tolerance, atol=tolerance)
        exact = [geometric(w.increment(0, 0.5).w, 0.5), geometric(w.increment(0, 1).w)]
        errors.append(float((solved.states[1:] - torch.stack(exact)).abs().mean()))
        seen = solved.statistics
        evaluations.append(seen.evaluations)
        assert seen.evaluations == 2 * (seen.accepted + seen.rejected)
        assert float(seen.h.sum()) == pytest.approx(1.0)
        assert (seen.error <= 1).all()
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 2e-3
    assert evaluations == sorted(evaluations)


def test_a_rejected_step_goes_on_along_the_same_path() -> None:
    """A first step far too long is rejected; what is found solves the equation for the path drawn first."""
    w = path(300, seed=2)
    start = torch.ones(300, 1, dtype=torch.float64)
    first = w.increment(0.0, 1.0).w.clone()
    solved = sdeint(growth, proportional, start, [0.0, 1.0], path=w, first_step=1.0, rtol=1e-4, atol=1e-4)
    assert solved.statistics.rejected > 0
    torch.testing.assert_close(w.increment(0.0, 1.0).w, first, atol=1e-12, rtol=0)
    assert float((solved.last - geometric(first)).abs().mean()) < 5e-3


def test_a_path_is_consistent_and_its_parts_are_distributed_as_they_must_be() -> None:
    """Covariances of increments and integrals after bridging, against those of Brownian motion."""
    count = 200_000
    w = BrownianPath((count,), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole = w.increment(0.0, 1.0)
    cuts = [0.0, 0.3, 0.45, 1.0]
    w.increment(0.0, 0.45)  # not in the order of time
    parts = [w.increment(s, t) for s, t in pairwise(cuts)]
    again = w.increment(0.0, 1.0)
    torch.testing.assert_close(again.w, whole.w, atol=1e-12, rtol=0)
    torch.testing.assert_close(again.area, whole.area, atol=1e-12, rtol=0)
    values = np.stack([x.numpy() for part in parts for x in part])
    expected = np.zeros((6, 6))
    for k, (s, t) in enumerate(pairwise(cuts)):
        h = t - s
        expected[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[h, h**2 / 2], [h**2 / 2, h**3 / 3]]
    scale = np.sqrt(np.diag(expected))
    found = np.cov(values) / np.outer(scale, scale)
    np.testing.assert_allclose(found, expected / np.outer(scale, scale), atol=5 / math.sqrt(count))
    for row, size in zip(values, scale, strict=True):
        assert stats.kstest(row[:20_000] / size, "norm").pvalue > 1e-4


def test_the_same_generator_gives_the_same_path() -> None:
    torch.testing.assert_close(path(5).increment(0, 0.3), path(5).increment(0, 0.3), atol=0, rtol=0)
    with pytest.raises(ValueError, match=r"no increment from 0.5 to 0.5"):
        path(5).increment(0.5, 0.5)
    with pytest.raises(ValueError, match="begins at 0"):
        path(5).increment(-1.0, 0.5)


def test_gradients_along_a_path_against_finite_differences() -> None:
    """Of states, errors and stiffness, with the step sizes held by loose tolerances."""
    rate = torch.tensor([0.7, 0.4], dtype=torch.float64, requires_grad=True)

    def values(rate: Tensor) -> Tensor:
        def drift(t: Tensor, x: Tensor) -> Tensor:
            return -rate[0] * x**3

        def noise(t: Tensor, x: Tensor) -> Tensor:
            return rate[1] * torch.cos(x)

        start = torch.tensor([[0.5], [1.5]], dtype=torch.float64)
        solved = sdeint(
            drift,
            noise,
            start,
            [0.0, 1.0],
            path=path(2),
            rtol=1e3,
            atol=1e3,
            first_step=0.1,
            differentiable=True,
        )
        seen = solved.statistics
        return torch.stack([solved.last.sum(), seen.error.sum() * 1e3, seen.require_stiffness().sum()])

    assert torch.autograd.gradcheck(values, (rate,), atol=1e-6)


def test_the_deterministic_limit_is_an_ordinary_equation() -> None:
    start = torch.ones(3, 1, dtype=torch.float64)
    solved = sdeint(growth, lambda t, x: torch.zeros_like(x), start, [0.0, 1.0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(solved.last, start * math.exp(DRIFT), rtol=1e-4, atol=0)


def test_drift_and_diffusion_must_give_the_shape_of_the_state() -> None:
    start = torch.ones(2, 3)
    for wrong, shape in (
        (lambda t, x: x.sum(-1, keepdim=True), r"\(2, 1\)"),
        (lambda t, x: x.sum(), r"\(\)"),
        (lambda t, x: x[..., None] * torch.eye(3), r"\(2, 3, 3\)"),
    ):
        with pytest.raises(
            ValueError, match=rf"the drift gives the shape {shape} for a state of shape \(2, 3\)"
        ):
            sdeint(wrong, proportional, start, [0.0, 1.0])
        with pytest.raises(ValueError, match=rf"the diffusion gives the shape {shape} for a state"):
            sdeint(growth, wrong, start, [0.0, 1.0])


def test_as_many_steps_as_are_needed_are_enough() -> None:
    start = torch.ones(5, 1, dtype=torch.float64)
    seen = sdeint(growth, proportional, start, [0.0, 1.0], path=path(5)).statistics
    needed = seen.accepted + seen.rejected
    solved = sdeint(growth, proportional, start, [0.0, 1.0], path=path(5), max_steps=needed)
    torch.testing.assert_close(solved.statistics.h, seen.h, rtol=0, atol=0)
    with pytest.raises(MaxStepsError, match=f"{needed - 1} steps did not reach"):
        sdeint(growth, proportional, start, [0.0, 1.0], path=path(5), max_steps=needed - 1)


def test_a_short_interval_far_from_zero() -> None:
    """Shorter than a hundred of the shortest steps that float32 tells from none."""
    start = torch.ones(3, 1)
    solved = sdeint(lambda t, x: x, lambda t, x: torch.zeros_like(x), start, [1.0, 1.0 + 1e-6])
    torch.testing.assert_close(solved.last, start + 1e-6, rtol=1e-6, atol=0)


def test_mistakes() -> None:
    start = torch.ones(3, 1)
    with pytest.raises(ValueError, match="must ascend"):
        sdeint(growth, proportional, start, [1.0, 0.0])
    with pytest.raises(ValueError, match="first_step must be above 0"):
        sdeint(growth, proportional, start, [0.0, 1.0], first_step=-0.1)
    for arguments, message in [
        ({"max_steps": 0}, "max_steps must be at least 1, got 0"),
        ({"max_steps": -1}, "max_steps must be at least 1, got -1"),
        ({"rtol": math.nan}, "must be finite.*got nan"),
        ({"times": [1.0, 2.0], "first_step": 1e-18}, "first_step of 1e-18 at t = 1 is lost in rounding"),
        ({"times": torch.tensor([0.0, 1.0], requires_grad=True)}, r"pass times\.detach\(\)"),
        ({"y0": (start, start)}, "one tensor, got tuple"),
        ({"y0": torch.ones(0, 2)}, r"an entry at least, got the shape \(0, 2\)"),
        ({"y0": start.long()}, "floating-point format; got torch.int64"),
        ({"y0": torch.tensor(1.0), "scalar_noise": True}, "needs a batch of states"),
        ({"path": path(3)}, "path is in torch.float64 on cpu, and the state in torch.float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            sdeint(growth, proportional, **{"y0": start, "times": [0.0, 1.0], **arguments})
    with pytest.raises(NonFiniteFieldError, match=r"entry \(0, 0\)"):
        sdeint(lambda t, x: x.tanh(), proportional, start / 0, [0.0, 1.0])
    with pytest.raises(MaxStepsError, match="3 steps did not reach the end"):
        sdeint(growth, proportional, start, [0.0, 1.0], max_steps=3)
    with pytest.raises(NonFiniteFieldError, match=r"entry \(0, 0\)"):
        sdeint(growth, lambda t, x: x / 0, start, [0.0, 1.0], controller=Controller())
