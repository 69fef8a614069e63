"""Adaptive Runge-Kutta methods: orders, errors, dense output, control, and mistakes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchdiffeq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from torch import Tensor

from regrun import solvers
from regrun.solvers import (
    Bosh3,
    ContinuousAdjoint,
    Controller,
    Dopri5,
    Dopri8,
    MaxStepsError,
    NonFiniteFieldError,
    ODESolver,
    RungeKutta,
    SDESolver,
    StepSizeUnderflowError,
    ToleranceWarning,
    Tsit5,
    odeint,
)
from regrun.solvers.stepping import take_step
from regrun.solvers.tolerance import Tolerance, root_mean_square

METHODS = (Bosh3, Dopri5, Tsit5, Dopri8)
Method = type[RungeKutta]
START = torch.tensor([[2.0, 0.0], [1.0, 0.5], [-0.3, 1.0]], dtype=torch.float64)
each_method = pytest.mark.parametrize("method", METHODS)


def spiral(t: Tensor, y: Tensor) -> Tensor:
    """The cubic spiral, with a push that depends on time, one time for all or one each."""
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=y.dtype)
    return y**3 @ matrix.T + torch.cos(3 * t).reshape(-1, 1)


def reference(times: list[float], start: Tensor = START) -> Tensor:
    """By scipy, to nearly float64's precision."""

    def field(t: float, y: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(y).reshape(start.shape)
        return spiral(torch.tensor(t, dtype=torch.float64), state).numpy().ravel()

    solved = solve_ivp(
        field, (times[0], times[-1]), start.numpy().ravel(), "DOP853", times, rtol=1e-13, atol=1e-13
    )
    return torch.from_numpy(solved.y.T).reshape(len(times), *start.shape)


def matrix_of(method: RungeKutta) -> tuple[np.ndarray, np.ndarray]:
    a = np.zeros((method.stages, method.stages))
    for k, row in enumerate(method.rows):
        a[k + 1, : len(row)] = row
    return a, np.array([0.0, *method.nodes])


@each_method
def test_the_tableau_satisfies_its_order_conditions(method: Method) -> None:
    a, c = matrix_of(method())
    b = a[-1]
    np.testing.assert_allclose(a.sum(1), c, atol=1e-14)
    for power in range(method.order):
        assert b @ c**power == pytest.approx(1 / (power + 1), abs=1e-14)
    # The embedded solution has one order less, and no more.
    for power in range(method.error_order - 1):
        assert np.dot(method.error, c**power) == pytest.approx(0, abs=1e-14)
    tall = np.linalg.matrix_power(a, method.error_order - 1) @ np.ones(len(a))
    assert abs(np.dot(method.error, tall)) + abs(np.dot(method.error, c ** (method.error_order - 1))) > 1e-6


@each_method
def test_the_dense_output_meets_the_step_at_both_ends(method: Method) -> None:
    a, c = matrix_of(method())
    np.testing.assert_allclose(method().dense_weights(0.0), 0)
    np.testing.assert_allclose(method().dense_weights(1.0), a[-1], atol=2e-12)
    for theta in (0.3, 0.5, 0.9):
        weights = np.array(method().dense_weights(theta))
        for power in range(method.dense_order):
            assert weights @ c**power == pytest.approx(theta ** (power + 1) / (power + 1), abs=1e-12)
        ahead, behind = method().dense_weights(theta + 1e-5), method().dense_weights(theta - 1e-5)
        slope = (np.array(ahead) - behind) / 2e-5
        np.testing.assert_allclose(method().dense_weights(theta, derivative=True), slope, atol=1e-7)


@pytest.mark.parametrize("method", [Dopri5, Tsit5, Dopri8])
def test_the_stability_interval(method: Method) -> None:
    """Where the stability function of the method leaves the unit interval on the negative real axis."""
    a, _ = matrix_of(method())
    coefficients, vector = [1.0], np.ones(len(a))
    for _ in range(len(a)):
        coefficients.append(a[-1] @ vector)
        vector = a @ vector
    z = -np.linspace(0, 8, 80_001)
    values = np.abs(np.polynomial.Polynomial(coefficients)(z))
    assert -z[values > 1 + 1e-9][0] == pytest.approx(method.stability, abs=2e-3)


def fixed_steps(method: RungeKutta, count: int) -> tuple[Tensor, float, float]:
    """The final state after steps of one size, the first step's error estimate, and that size."""
    tolerance = Tolerance(0.0, 1.0, root_mean_square)
    y, h = START * 0.5, 1.0 / count
    first = spiral(torch.tensor(0.0), y)
    estimate = 0.0
    for k in range(count):
        step = take_step(spiral, method, k * h, h, y, first, tolerance, False)
        if k == 0:
            estimate = float(step.error)
        y, first = step.y, step.stages[-1]
    return y, estimate, h


@each_method
def test_the_order_of_convergence(method: Method) -> None:
    """On a rotation that speeds up, whose solution is known."""

    def turning(t: Tensor, y: Tensor) -> Tensor:
        return (1 + t) * torch.stack([-y[:, 1], y[:, 0]], 1)

    angle = torch.tensor(4.0, dtype=torch.float64)  # of t + t^2 / 2 at t = 2
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    tolerance = Tolerance(0.0, 1.0, root_mean_square)
    errors = []
    for count in (20, 40):
        y, h = START, 2.0 / count
        first = turning(torch.tensor(0.0), y)
        for k in range(count):
            step = take_step(turning, method(), k * h, h, y, first, tolerance, False)
            y, first = step.y, step.stages[-1]
        errors.append(float((y - START @ turn.T).abs().max()))
    slope = math.log2(errors[0] / errors[1])
    assert method.order - 0.35 < slope < method.order + 0.7  # the leading term may be small


@each_method
def test_the_error_estimate_scales_and_bounds_the_error(method: Method) -> None:
    """It is of the order it claims, and no smaller than the true error of the better solution."""
    coarse, middle, fine = (fixed_steps(method(), n) for n in (20, 40, 80))
    assert math.log2(middle[1] / fine[1]) == pytest.approx(method.error_order, abs=0.3)
    for _, estimate, h in (coarse, middle):
        once = odeint(spiral, START * 0.5, [0.0, h], method=method(), first_step=h, rtol=1e9, atol=1e9).last
        truth = reference([0.0, h], START * 0.5)[-1]
        assert float((once - truth).square().mean().sqrt()) <= estimate


@each_method
@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_agrees_with_scipy(method: Method, per_sample: bool, backward: bool) -> None:
    times = [0.0, 0.1, 0.37, 1.0]
    truth = reference(times)
    start = START
    if backward:
        times, truth = times[::-1], truth.flip(0)
        start = truth[0]
    solution = odeint(spiral, start, times, method=method(), rtol=1e-9, atol=1e-9, per_sample=per_sample)
    torch.testing.assert_close(solution.states, truth, atol=1e-6, rtol=0)
    assert (solution.statistics.h[solution.statistics.taken] < 0).all() == backward


@pytest.mark.parametrize(("method", "name"), [(Bosh3, "bosh3"), (Dopri5, "dopri5"), (Dopri8, "dopri8")])
def test_agrees_with_torchdiffeq(method: Method, name: str) -> None:
    times = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    theirs = torchdiffeq.odeint(spiral, START, times, rtol=1e-8, atol=1e-8, method=name)
    ours = odeint(spiral, START, times, method=method(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.states, theirs, atol=1e-5, rtol=0)


@each_method
def test_a_smaller_tolerance_gives_a_smaller_error(method: Method) -> None:
    truth = reference([0.0, 1.0])[-1]
    errors = []
    for exponent in (4, 6, 8, 10):
        tolerance = 10.0**-exponent
        solved = odeint(spiral, START, [0.0, 1.0], method=method(), rtol=tolerance, atol=tolerance)
        errors.append(float((solved.last - truth).abs().max()))
        assert errors[-1] < 300 * tolerance
    assert errors == sorted(errors, reverse=True)


@each_method
def test_what_is_asked_for_between_leaves_the_steps_alone(method: Method) -> None:
    few = odeint(spiral, START, [0.0, 1.0], method=method(), dense=True)
    many = odeint(spiral, START, torch.linspace(0, 1, 50), method=method())
    torch.testing.assert_close(few.statistics.h, many.statistics.h, rtol=0, atol=0)
    for t, state in zip(many.times.tolist(), many.states, strict=True):
        torch.testing.assert_close(few.at(t), state, rtol=0, atol=1e-12)


def test_the_dense_output_converges() -> None:
    for method in METHODS:
        errors = []
        for exponent in (5, 8):
            solved = odeint(
                spiral,
                START,
                [0.0, 1.0],
                method=method(),
                rtol=10.0**-exponent,
                atol=10.0**-exponent,
                dense=True,
            )
            times = [0.0, 0.123, 0.456, 0.789]
            errors.append(float((torch.stack([solved.at(t) for t in times]) - reference(times)).abs().max()))
        assert errors[1] < 1e-5
        assert errors[1] < errors[0] / 20


def test_one_sample_alone_and_in_a_batch_with_control_of_its_own() -> None:
    together = odeint(spiral, START, [0.0, 1.0], per_sample=True, first_step=0.01)
    for k in range(len(START)):
        alone = odeint(spiral, START[k : k + 1], [0.0, 1.0], first_step=0.01)
        torch.testing.assert_close(together.last[k], alone.last[0], atol=1e-11, rtol=0)
        taken = together.statistics.taken[:, k]
        torch.testing.assert_close(together.statistics.h[taken, k], alone.statistics.h, atol=1e-9, rtol=0)
        torch.testing.assert_close(
            together.statistics.error[taken, k], alone.statistics.error, atol=1e-6, rtol=0
        )
        assert int(together.statistics.accepted[k]) == alone.statistics.accepted
        assert int(together.statistics.evaluations[k]) == alone.statistics.evaluations


def test_the_statistics_are_true() -> None:
    calls = 0

    def counted(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return spiral(t, y)

    solution = odeint(counted, START, [0.0, 2.0], first_step=0.5)
    seen = solution.statistics
    assert seen.evaluations == calls == 1 + 6 * (seen.accepted + seen.rejected)
    assert seen.rejected > 0
    assert len(seen.t) == len(seen.h) == len(seen.error) == seen.accepted
    torch.testing.assert_close(seen.t[1:], seen.t[:-1] + seen.h[:-1])
    assert float(seen.h.sum()) == pytest.approx(2.0)
    assert (seen.error <= 1).all()
    calls = 0
    estimated = odeint(counted, START, [0.0, 2.0]).statistics
    assert estimated.evaluations == calls == 2 + 6 * (estimated.accepted + estimated.rejected)


@pytest.mark.parametrize("method", [Dopri5, Tsit5, Dopri8])
def test_the_stiffness_estimate_of_a_linear_field_is_its_eigenvalue(method: Method) -> None:
    for rate in (0.5, 30.0):
        seen = odeint(lambda t, y, rate=rate: -rate * y, START, [0.0, 1.0], method=method()).statistics
        assert seen.stiffness is not None
        torch.testing.assert_close(seen.stiffness, torch.full_like(seen.stiffness, rate), rtol=1e-6, atol=0)
        assert (seen.stiffness * seen.h.abs()).max() < 1.5 * seen.stability
    still = odeint(lambda t, y: torch.zeros_like(y), START, [0.0, 1.0]).statistics
    assert torch.equal(still.require_stiffness(), torch.zeros_like(still.require_stiffness()))
    with pytest.raises(ValueError, match="choose Tsit5"):
        odeint(spiral, START, [0.0, 1.0], method=Bosh3()).statistics.require_stiffness()


def test_pid_control_smooths_the_steps() -> None:
    """Integral control oscillates where stability limits the step; proportional control damps that."""

    def roughness(controller: Controller) -> float:
        h = odeint(lambda t, y: -50 * y, START, [0.0, 4.0], rtol=1e-4, atol=1e-4, controller=controller)
        return float(h.statistics.h[5:-1].log().diff().abs().mean())

    assert roughness(Controller(proportional=0.4, integral=0.3)) < 0.5 * roughness(Controller())


@given(
    error=st.floats(1e-10, 1e6),
    last=st.floats(1e-10, 1),
    before=st.floats(1e-10, 1),
    p=st.floats(0, 0.5),
    d=st.floats(0, 0.2),
)
@settings(max_examples=200, deadline=None)
def test_the_controller_stays_within_its_bounds(
    error: float, last: float, before: float, p: float, d: float
) -> None:
    controller = Controller(proportional=p, integral=0.5, derivative=d)
    factor = controller.factor(5, error, last, before)
    assert controller.shrink <= factor <= controller.grow
    as_tensors = controller.factor(
        5, *(torch.tensor([x], dtype=torch.float64) for x in (error, last, before))
    )
    assert float(as_tensors) == pytest.approx(factor, rel=1e-9)
    worse = controller.factor(5, error * 2, last, before)
    assert worse <= factor


@pytest.mark.parametrize("per_sample", [False, True])
def test_as_many_steps_as_are_needed_are_enough(per_sample: bool) -> None:
    def solve(max_steps: int) -> solvers.Solution:
        start = torch.ones(2, 1, dtype=torch.float64)
        return odeint(lambda t, y: -y, start, [0.0, 1.0], per_sample=per_sample, max_steps=max_steps)

    seen = solve(100).statistics
    needed = int(torch.as_tensor(seen.accepted + seen.rejected).max())
    assert float(solve(needed).last[0]) == pytest.approx(math.exp(-1), abs=1e-6)
    with pytest.raises(MaxStepsError, match=f"{needed - 1} steps did not reach the end"):
        solve(needed - 1)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_field_must_give_the_shape_of_the_state(per_sample: bool) -> None:
    start = torch.ones(2, 3, dtype=torch.float64)
    for field, found in [
        (lambda t, y: y.sum(-1, keepdim=True), r"shape \(2, 1\) for a state of shape \(2, 3\)"),
        (lambda t, y: y.sum(), r"shape \(\) for a state of shape \(2, 3\)"),
        (lambda t, y: y.repeat(2, 1), r"shape \(4, 3\) for a state of shape \(2, 3\)"),
        (lambda t, y: (y,), "tensor of real numbers; got tuple"),
        (lambda t, y: y * 1j, "tensor of real numbers; got torch.complex128"),
    ]:
        with pytest.raises(ValueError, match=found):
            odeint(field, start, [0.0, 1.0], per_sample=per_sample)


def test_a_derivative_in_another_format_is_taken_in_that_of_the_state() -> None:
    for convert in (torch.Tensor.double, torch.Tensor.half):
        solved = odeint(lambda t, y, to=convert: to(-y), torch.ones(2, 1), [0.0, 1.0], rtol=1e-3, atol=1e-3)
        assert solved.states.dtype == solved.statistics.error.dtype == torch.float32
        torch.testing.assert_close(solved.last, torch.full((2, 1), math.exp(-1)), atol=2e-3, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("per_sample", [False, True])
def test_every_format_is_solved_to_what_it_resolves(dtype: torch.dtype, per_sample: bool) -> None:
    start = torch.ones(1, 2, dtype=dtype)
    solved = odeint(lambda t, y: -y, start, [1.0, 0.0], rtol=1e-2, atol=1e-2, per_sample=per_sample)
    assert solved.states.dtype == dtype
    assert float(solved.last[0, 0]) == pytest.approx(math.e, rel=max(1e-2, 8 * torch.finfo(dtype).eps))


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize(
    ("end", "dtype"),
    [(1e-300, torch.float64), (1e4, torch.float32), (-1e4, torch.float32), (1e6, torch.float32)],
)
def test_intervals_of_any_length(end: float, dtype: torch.dtype, per_sample: bool) -> None:
    """Of a constant field: from 1, by its length; from 0, where the first step is a guess."""
    for start in (1.0, 0.0):
        y = torch.full((2, 1), start, dtype=dtype)
        solved = odeint(lambda t, y: torch.ones_like(y), y, [0.0, end / 2, end], per_sample=per_sample)
        expected = torch.tensor([start, start + end / 2, start + end], dtype=dtype)
        torch.testing.assert_close(solved.states[:, 1, 0], expected)


def blow_up(t: Tensor, y: Tensor) -> Tensor:
    return y**2


def not_a_number(t: Tensor, y: Tensor) -> Tensor:
    result = torch.ones_like(y)
    result[1, 0] = torch.where(t.expand(3)[1] > 0.4, math.nan, 1.0)
    return result


@pytest.mark.parametrize("per_sample", [False, True])
def test_what_cannot_be_solved_ends_with_its_name_time_and_step(per_sample: bool) -> None:
    start = torch.ones(3, 1, dtype=torch.float64)
    with pytest.raises((StepSizeUnderflowError, NonFiniteFieldError, MaxStepsError)) as blown:
        odeint(blow_up, start, [0.0, 2.0], per_sample=per_sample, max_steps=2000)
    assert blown.value.t == pytest.approx(1.0, abs=1e-2)
    with pytest.raises(NonFiniteFieldError, match=r"entry \(1, 0\) of the state at t = 0.4") as nan:
        odeint(not_a_number, start, [0.0, 1.0], per_sample=per_sample)
    assert nan.value.entry == (1, 0)
    assert nan.value.t == pytest.approx(0.4, abs=1e-3)
    with pytest.raises(NonFiniteFieldError, match=r"t = 0 "):
        odeint(lambda t, y: y / 0, start, [0.0, 1.0], per_sample=per_sample)
    infinite = torch.tensor([[1.0], [1.0], [math.inf]], dtype=torch.float64)
    with pytest.raises(NonFiniteFieldError, match=r"entry \(2, 0\) of the state at t = 0 "):
        odeint(lambda t, y: y.tanh(), infinite, [0.0, 1.0], per_sample=per_sample)
    with pytest.raises(MaxStepsError, match=r"7 steps did not reach the end.*raise max_steps"):
        odeint(spiral, START, [0.0, 50.0], max_steps=7, per_sample=per_sample)
    with pytest.raises(StepSizeUnderflowError, match="discontinuity") as jump:
        odeint(
            lambda t, y: torch.sign(y - 0.5) * -1e3,
            start,
            [0.0, 1.0],
            rtol=0,
            atol=1e-15,
            per_sample=per_sample,
        )
    assert 0 <= jump.value.t < 1e-2


def test_the_samples_that_go_well_are_not_spoiled_by_one_whose_trial_is_not_finite() -> None:
    """A step too far overflows in one sample; both end right, and with finite gradients."""
    rate = torch.tensor([[1.0], [700.0]], dtype=torch.float64, requires_grad=True)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -rate * torch.sinh(y) * torch.exp(-t).reshape(-1, 1)

    start = torch.full((2, 1), 5.0, dtype=torch.float64)
    solution = odeint(field, start, [0.0, 1.0], per_sample=True, first_step=0.9, differentiable=True)
    solution.last.sum().backward()
    assert torch.isfinite(rate.grad).all()
    alone = odeint(lambda t, y: -torch.sinh(y) * torch.exp(-t), start[:1], [0.0, 1.0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(solution.last[:1], alone.last, atol=1e-5, rtol=0)


def test_tolerances_below_the_format_are_warned_of() -> None:
    with pytest.warns(ToleranceWarning, match="float32 resolves; the smallest sensible is about 1e-06"):
        odeint(lambda t, y: -y, START.float(), [0.0, 0.1], rtol=1e-9, atol=0.0, max_steps=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odeint(lambda t, y: -y, START.float(), [0.0, 0.1], rtol=1e-6, atol=1e-6)
        odeint(lambda t, y: -y, START, [0.0, 0.1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [0.0]}, "two at least"),
        ({"times": [0.0, 1.0, 0.5]}, "ascend, or descend"),
        ({"times": [0.0, 0.0]}, "ascend, or descend"),
        ({"rtol": -1.0}, "not both 0"),
        ({"rtol": 0.0, "atol": 0.0}, "not both 0"),
        ({"first_step": 0.0}, "first_step must be above 0"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"per_sample": True, "dense": True}, "per_sample or dense"),
        (
            {"y0": torch.ones(2, 2, dtype=torch.int64)},
            "in a floating-point format; got torch.int64",
        ),
        ({"y0": torch.ones(2, 2, dtype=torch.complex64)}, "real numbers.*got torch.complex64"),
        ({"y0": (START, START)}, r"one tensor, got tuple; join its parts with torch\.cat"),
        ({"y0": torch.ones(0, 2)}, r"an entry at least, got the shape \(0, 2\)"),
        ({"y0": torch.tensor(1.0), "per_sample": True}, r"needs a batch of states, \(batch, \.\.\.\)"),
        ({"times": torch.tensor([0.0, 1.0], requires_grad=True)}, r"pass times\.detach\(\)"),
        ({"times": [0.0, torch.tensor(1.0, requires_grad=True)]}, r"pass times\.detach\(\)"),
        ({"times": [[0.0, 1.0]]}, r"in one dimension; got the shape \(1, 2\)"),
        ({"times": [0.0, math.inf]}, r"must be finite, got \[0\.0, inf\]"),
        ({"rtol": math.nan}, "must be finite.*got nan"),
        ({"atol": math.inf}, "must be finite.*got 1e-06 and inf"),
        ({"max_steps": math.nan}, "max_steps must be at least 1, got nan"),
        ({"times": [1.0, 2.0], "first_step": 1e-18}, "first_step of 1e-18 at t = 1 is lost in rounding"),
        ({"norm": lambda x: x.abs().amax(1)}, r"norm must give the shape \(\) with per_sample=False"),
        ({"norm": lambda x: x.abs().max(), "per_sample": True}, r"norm must give the shape \(3,\)"),
    ],
)
def test_mistakes(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        odeint(spiral, **{"y0": START, "times": [0.0, 1.0], **arguments})


def test_settings_out_of_their_range_are_refused_before_anything_is_solved() -> None:
    with pytest.raises(ValueError, match="shrink < safety"):
        Controller(safety=0.1)
    for exponents in ({"integral": 0.0}, {"integral": -1.0}, {"proportional": math.nan}):
        with pytest.raises(ValueError, match="add up to more than 0"):
            Controller(**exponents)
    for make in (ODESolver, SDESolver):
        with pytest.raises(ValueError, match="not both 0, got -1"):
            make(rtol=-1.0)
        with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
            make(max_steps=0)
        with pytest.raises(ValueError, match="first_step must be above 0"):
            make(first_step=0.0)
    with pytest.raises(ValueError, match="not both 0, got 1"):
        ContinuousAdjoint(atol=-1.0)


@pytest.mark.parametrize(("start", "end"), [(-0.2, -0.2 + 0.3), (-0.1, -0.1 + 0.3), (0.0, 1.0)])
def test_a_solution_reaches_to_the_last_of_its_times(start: float, end: float) -> None:
    """Though the last step's ``t + h`` may round to less."""
    solved = odeint(lambda t, y: -y, START, [start, end], rtol=1e-3, atol=1e-3, dense=True)
    torch.testing.assert_close(solved.at(end), solved.last, atol=1e-12, rtol=0)
    torch.testing.assert_close(solved.at(start), START, atol=0, rtol=0)


def test_times_outside_of_a_solution_and_solutions_not_kept() -> None:
    solution = odeint(spiral, START, [0.0, 1.0], dense=True)
    with pytest.raises(ValueError, match=r"t = 2 lies outside of 0 to 1"):
        solution.at(2.0)
    with pytest.raises(ValueError, match=r"dense=True"):
        odeint(spiral, START, [0.0, 1.0]).at(0.5)


def test_the_example_of_the_docstring_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = solvers.odeint.__doc__ or ""
    example = text.split("::\n", 1)[1].split("    Args:")[0]
    code = "\n".join(line.removeprefix("        ") for line in example.strip("\n").splitlines())
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(lines) == 10
    run: Callable[..., None] = exec
    run(code, {})
    assert "tensor" in capsys.readouterr().out
