"""One step of an explicit Runge-Kutta method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from regrun.solvers.combination import combine
from regrun.solvers.tableaus import RungeKutta
from regrun.solvers.tolerance import Norm, Tolerance

Field = Callable[[Tensor, Tensor], Tensor]
Time = float | Tensor


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
        t: start of the step: a number, or float64 ``(batch,)`` with one time per sample.
        h: its size, as ``t``.
        y: the state there.
        first: ``f(t, y)``.
        tolerance: tolerance of the error.
        differentiable: whether error and stiffness get gradients.
    """
    stages = [first]
    state = before = y
    for node, row in zip(method.nodes, method.rows, strict=True):
        before, state = state, add_scaled(y, h, row, stages)
        stages.append(evaluate(field, t + node * h, state))
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


def evaluate(field: Field, t: Time, y: Tensor, name: str = "field") -> Tensor:
    """``f(t, y)``, in the format of the state.

    Raises:
        ValueError: unless it has the state's shape.
    """
    slope = field(at_time(t, y), y)
    if not isinstance(slope, Tensor) or slope.is_complex():
        found = slope.dtype if isinstance(slope, Tensor) else type(slope).__name__
        raise ValueError(f"the {name} must give a tensor of real numbers; got {found}")
    if slope.shape != y.shape:
        raise ValueError(
            f"the {name} gives the shape {tuple(slope.shape)} for a state of shape {tuple(y.shape)}; "
            "it must give one number for each entry"
        )
    return slope.to(y.dtype)


def same_time(field: Field, batch: int) -> Field:
    """A field that wants one time for each sample, as one of a single time."""
    return lambda t, y: field(t.expand(batch), y)


def at_time(t: Time, y: Tensor) -> Tensor:
    """A time, or one per sample, as a tensor that goes with a state."""
    if isinstance(t, Tensor):
        return t.to(y.dtype)
    return torch.full((), t, dtype=y.dtype, device=y.device)
