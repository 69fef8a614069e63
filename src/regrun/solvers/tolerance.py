"""The tolerance and the norm of a step's error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regrun.solvers.transforms import transforming

Norm = Callable[[Tensor], Tensor]


class Tolerance(NamedTuple):
    """The scale of an error: ``atol + rtol * max(|u|, |u_new|)``, entry by entry, then a norm."""

    rtol: float
    atol: float
    norm: Norm

    def measure(self, error: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The norm of an error in units of the tolerance."""
        if self.norm is root_mean_square and torch.is_grad_enabled() and not transforming():
            measured: Tensor = _PooledError.apply(error, before, after, self.rtol, self.atol)[0]
            return measured
        scale = torch.maximum(before.abs(), after.abs()).mul(self.rtol).add(self.atol)
        return self.norm(error / scale)


def root_mean_square(x: Tensor) -> Tensor:
    """Over all entries: one error for the whole batch. Its derivatives at 0 are 0."""
    return _length(x, None) / math.sqrt(x.numel())


def root_mean_square_per_sample(x: Tensor) -> Tensor:
    """Over all entries of each sample: ``(batch,)``."""
    rows = x.reshape(len(x), -1)
    return _length(rows, 1) / math.sqrt(rows.shape[1])


def _length(x: Tensor, dim: int | None) -> Tensor:
    if transforming():
        square = x.square().sum(dim)
        return _not_zero(square).sqrt().masked_fill(square == 0, 0.0)
    if not torch.is_grad_enabled():
        return torch.linalg.vector_norm(x, dim=dim)
    length: Tensor = _Length.apply(x, dim)
    return length


class _Length(torch.autograd.Function):
    """``torch.linalg.vector_norm``, all of whose derivatives are 0 where it is 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int | None) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=dim)
        ctx.dim = dim
        ctx.save_for_backward(x, length)
        ctx.save_for_forward(x, length)
        return length

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, length = ctx.saved_tensors
        factor = _quotient(gradient, length)
        return x * (factor if ctx.dim is None else factor.unsqueeze(ctx.dim)), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        x, length = ctx.saved_tensors
        return _quotient((x * tangent).sum(ctx.dim), length)


def _quotient(x: Tensor, length: Tensor) -> Tensor:
    """``x / length``, and 0 with derivatives of 0 where the length vanishes."""
    return (x / _not_zero(length)).masked_fill(length == 0, 0.0)


def _not_zero(x: Tensor) -> Tensor:
    return x.masked_fill(x == 0, 1.0)


class _PooledError(torch.autograd.Function):
    """``Tolerance.measure`` for the default norm, with a third of the passes over memory.

    The ratio of error and tolerance, and the tolerance, are results as well, which the gradient is made of;
    so that it can be differentiated in its turn.
    """

    @staticmethod
    def forward(
        ctx: Any, error: Tensor, before: Tensor, after: Tensor, rtol: float, atol: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        scale = torch.maximum(before.abs(), after.abs()).mul_(rtol).add_(atol)
        ratio = error / scale
        result = torch.linalg.vector_norm(ratio) / math.sqrt(ratio.numel())
        ctx.rtol = rtol
        ctx.save_for_backward(before, after, result, ratio, scale)
        ctx.save_for_forward(before, after, result, ratio, scale)
        ctx.set_materialize_grads(False)
        return result, ratio, scale

    @staticmethod
    def backward(
        ctx: Any, by_result: Tensor | None, by_ratio: Tensor | None, by_scale: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        before, after, result, ratio, scale = ctx.saved_tensors
        by_error = None
        if by_result is not None:
            by_error = ratio / scale * _quotient(by_result, result * ratio.numel())
        if by_ratio is not None:
            by_error = by_ratio / scale if by_error is None else by_error + by_ratio / scale
        if by_error is not None:
            part = -ratio * by_error
            by_scale = part if by_scale is None else by_scale + part
        if by_scale is None:
            return None, None, None, None, None
        by_scale = by_scale * ctx.rtol
        ahead = after.abs() > before.abs()
        by_before = (by_scale * before.sign()).masked_fill(ahead, 0.0)
        by_after = (by_scale * after.sign()).masked_fill(~ahead, 0.0)
        return by_error, by_before, by_after, None, None

    @staticmethod
    def jvp(
        ctx: Any, error: Tensor | None, before: Tensor | None, after: Tensor | None, *_: None
    ) -> tuple[Tensor, Tensor, Tensor]:
        u, v, result, ratio, scale = ctx.saved_tensors
        ahead = v.abs() > u.abs()
        by_scale = torch.zeros_like(scale)
        if before is not None:
            by_scale = by_scale + (before * u.sign()).masked_fill(ahead, 0.0)
        if after is not None:
            by_scale = by_scale + (after * v.sign()).masked_fill(~ahead, 0.0)
        by_scale = by_scale * ctx.rtol
        by_ratio = (-ratio * by_scale if error is None else error - ratio * by_scale) / scale
        by_result = _quotient((ratio * by_ratio).sum(), result * ratio.numel())
        return by_result, by_ratio, by_scale
