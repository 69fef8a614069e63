"""One step of an explicit Runge-Kutta method."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from regrun.solvers.combination import combine
from regrun.solvers.tableaus import RungeKutta

Field = Callable[[Tensor, Tensor], Tensor]
Norm = Callable[[Tensor], Tensor]
Time = float | Tensor


class Tolerance(NamedTuple):
    """What an error is measured in: ``atol + rtol * max(|u|, |u_new|)``, entry by entry, then by a norm."""

    rtol: float
    atol: float
    norm: Norm

    def measure(self, error: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The norm of an error in units of the tolerance."""
        if self.norm is root_mean_square and torch.is_grad_enabled():
            measured: Tensor = _PooledError.apply(error, before, after, self.rtol, self.atol)
            return measured
        scale = torch.maximum(before.abs(), after.abs()).mul(self.rtol).add(self.atol)
        return self.norm(error / scale)


class _PooledError(torch.autograd.Function):
    """``Tolerance.measure`` for the default norm, with a third of the passes over memory."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, before: Tensor, after: Tensor, rtol: float, atol: float) -> Tensor:
        scale = torch.maximum(before.abs(), after.abs()).mul_(rtol).add_(atol)
        ratio = error / scale
        result = root_mean_square(ratio)
        ctx.save_for_backward(ratio, scale, before, after, result)
        ctx.rtol = rtol
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        ratio, scale, before, after, result = ctx.saved_tensors
        factor = torch.where(result > 0, gradient / (result * ratio.numel()), 0.0)
        by_error = (ratio / scale).mul_(factor)
        by_scale = (ratio * by_error).mul_(-ctx.rtol)
        ahead = after.abs() > before.abs()
        by_before = (by_scale * before.sign()).masked_fill_(ahead, 0.0)
        by_after = by_scale.mul_(after.sign()).masked_fill_(~ahead, 0.0)
        return by_error, by_before, by_after, None, None


class Step(NamedTuple):
    """A step that may be accepted.

    Attributes:
        y: the state it leads to.
        stages: derivatives, the last of them at ``y``.
        error: in units of the tolerance, a scalar or one per sample.
        stiffness: the estimate, as ``error``; ``None`` if the method has none or it was not asked for.
    """

    y: Tensor
    stages: Sequence[Tensor]
    error: Tensor
    stiffness: Tensor | None


def root_mean_square(x: Tensor) -> Tensor:
    """Over all entries: one error for the whole batch. Its gradient at 0 is 0."""
    return torch.linalg.vector_norm(x) / math.sqrt(x.numel())


def root_mean_square_per_sample(x: Tensor) -> Tensor:
    """Over all entries of each sample: ``(batch,)``."""
    rows = x.reshape(len(x), -1)
    return torch.linalg.vector_norm(rows, dim=1) / math.sqrt(rows.shape[1])


def take_step(
    field: Field,
    method: RungeKutta,
    t: Time,
    h: Time,
    y: Tensor,
    first: Tensor,
    tolerance: Tolerance,
    differentiable: bool,
) -> Step:
    """One step.

    Args:
        field: ``f(t, u)``.
        method: the tableau.
        t: where the step begins: a number, or float64 ``(batch,)`` with one time per sample.
        h: its size, as ``t``.
        y: the state there.
        first: ``f(t, y)``.
        tolerance: for the error.
        differentiable: whether error and stiffness get gradients.
    """
    stages = [first]
    state = before = y
    for node, row in zip(method.nodes, method.rows, strict=True):
        before, state = state, add_scaled(y, h, row, stages)
        stages.append(field(at_time(t + node * h, y), state))
    with nullcontext() if differentiable else torch.no_grad():
        error = tolerance.measure(add_scaled(None, h, method.error, stages), y, state)
        stiffness = None
        if method.stability:
            stiffness = quotient(stages[-1] - stages[-2], state - before, tolerance.norm)
    return Step(state, stages, error, stiffness)


def add_scaled(base: Tensor | None, h: Time, weights: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """``base + h sum_i weights_i terms_i``, with one ``h``, or one for each sample."""
    if not isinstance(h, Tensor):
        return combine([h * weight for weight in weights], terms, base)
    change = combine(weights, terms) * per_sample(h, terms[0])
    return change if base is None else base + change


def per_sample(x: Tensor, like: Tensor) -> Tensor:
    """One number for each sample, in the shape and format that go with ``like``, ``(batch, ...)``."""
    return x.to(like.dtype).reshape(-1, *(1,) * (like.dim() - 1))


def quotient(difference: Tensor, distance: Tensor, norm: Norm) -> Tensor:
    """``|difference| / |distance|``, and 0 with a gradient of 0 where the distance vanishes."""
    length = norm(distance)
    vanishing = length.detach() == 0
    return (norm(difference) / length.masked_fill(vanishing, 1.0)).masked_fill(vanishing, 0.0)


def at_time(t: Time, y: Tensor) -> Tensor:
    """A time, or one per sample, as a tensor that goes with a state."""
    if isinstance(t, Tensor):
        return t.to(y.dtype)
    return torch.full((), t, dtype=y.dtype, device=y.device)
