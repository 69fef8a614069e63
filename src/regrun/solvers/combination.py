"""Sums of scaled tensors, the main cost of a Runge-Kutta step besides the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regrun.solvers.transforms import transforming


class _Combination(torch.autograd.Function):
    """Writes one result and reads each term once, and keeps no term for the backward pass."""

    @staticmethod
    def forward(ctx: Any, weights: Sequence[float], base: Tensor | None, *terms: Tensor) -> Tensor:
        ctx.weights = weights
        ctx.has_base = base is not None
        return _sum(weights, base, terms)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        parts = [
            gradient * weight if needed else None
            for weight, needed in zip(ctx.weights, ctx.needs_input_grad[2:], strict=True)
        ]
        return None, gradient if ctx.has_base else None, *parts

    @staticmethod
    def jvp(ctx: Any, _: None, base: Tensor | None, *terms: Tensor | None) -> Tensor:
        moved = [(w, term) for w, term in zip(ctx.weights, terms, strict=True) if term is not None]
        return _sum([w for w, _ in moved], base, [term for _, term in moved])


def combine(weights: Sequence[float], terms: Sequence[Tensor], base: Tensor | None = None) -> Tensor:
    """``base + sum_i weights_i terms_i``, leaving out weights that are 0.

    Args:
        weights: plain numbers, not all 0 if there is no base.
        terms: tensors of one shape.
        base: one more, 0 if not given.
    """
    kept = [(weight, term) for weight, term in zip(weights, terms, strict=False) if weight]
    weights, terms = [weight for weight, _ in kept], [term for _, term in kept]
    if transforming():
        total = sum(term * weight for weight, term in zip(weights, terms, strict=True))
        return total if base is None else base + total  # type: ignore[return-value]  # there is a term
    if not torch.is_grad_enabled():
        return _sum(weights, base, terms)
    result: Tensor = _Combination.apply(weights, base, *terms)
    return result


def _sum(weights: Sequence[float], base: Tensor | None, terms: Sequence[Tensor]) -> Tensor:
    if base is None:
        result = terms[0] * weights[0]
        weights, terms = weights[1:], terms[1:]
    elif not terms:
        return base.clone()
    else:
        result = torch.add(base, terms[0], alpha=weights[0])
        weights, terms = weights[1:], terms[1:]
    for weight, term in zip(weights, terms, strict=True):
        result.add_(term, alpha=weight)
    return result
