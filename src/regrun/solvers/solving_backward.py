"""The equation of the continuous adjoint, solved from the last time to the first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from regrun.solvers.gradients import Backpropagation
from regrun.solvers.marching import Settings, march
from regrun.solvers.stepping import Field, evaluate, same_time


def solve_backward(
    field: Field,
    states: Tensor,
    gradient: Tensor,
    parameters: Sequence[Tensor],
    times: Sequence[float],
    settings: Settings,
) -> list[Tensor]:
    """The gradients with respect to the initial state and to the parameters.

    Args:
        field: ``f(t, u)``.
        states: states at the times.
        gradient: gradient with respect to the states.
        parameters: parameters of the field.
        times: the initial one first.
        settings: settings of the forward solve, with the backward tolerance.
    """
    shape, size = states.shape[1:], states[0].numel()
    flow = same_time(field, len(states[0])) if settings.per_sample else field

    def joined(parts: Iterable[Tensor]) -> Tensor:
        return torch.cat([part.reshape(-1).to(states.dtype) for part in parts])

    def backward_field(t: Tensor, joint: Tensor) -> Tensor:
        with torch.enable_grad():
            y = joint[:size].reshape(shape).detach().requires_grad_()
            slope = evaluate(flow, t, y)
        wanted = [y, *parameters]
        found: Sequence[Tensor | None] = [None] * len(wanted)
        if slope.requires_grad:  # else it is constant
            a = joint[size : 2 * size].reshape(shape)
            found = torch.autograd.grad(slope, wanted, -a, allow_unused=True)
        parts = [torch.zeros_like(x) if part is None else part for part, x in zip(found, wanted, strict=True)]
        return joined([slope.detach(), *parts])

    settings = replace(settings, first_step=None, dense=False)
    a, rest = gradient[-1], [torch.zeros_like(parameter) for parameter in parameters]
    sizes = [size, size, *(parameter.numel() for parameter in parameters)]
    for k in range(len(times) - 1, 0, -1):
        joint = joined([states[k], a, *rest])
        solved = march(backward_field, joint, [times[k], times[k - 1]], settings, Backpropagation()).last
        _, a, *rest = solved.split(sizes)
        a = a.reshape(shape) + gradient[k - 1]
    return [a, *(part.reshape(parameter.shape) for part, parameter in zip(rest, parameters, strict=True))]
