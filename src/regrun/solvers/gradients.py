"""How gradients pass through a solve: what is kept of a step, and what is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from regrun.solvers.stepping import Field, Step

Attempt = Callable[[Tensor, Tensor], Step]  # a step, from the state and the field there


class StepGradient(Protocol):
    """How a step's gradient is found."""

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        """A step that may be rejected."""

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        """The same step, once it is accepted, as part of the graph."""


@dataclass(frozen=True)
class Backpropagation:
    """The discrete adjoint: differentiates the accepted steps, and keeps what each of them computed.

    Exact for the discretized solution, with step sizes as constants. Memory grows with the evaluations.
    """

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        """See ``StepGradient``."""
        return step(y, first)

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        """See ``StepGradient``."""
        return taken


@dataclass(frozen=True)
class Checkpointing:
    """The discrete adjoint, which keeps each step's initial state alone and computes the rest anew.

    The same gradients as ``Backpropagation``, for one more evaluation of every stage and memory that grows
    with the number of steps only. The field must not draw random numbers.

    Args:
        parameters: the tensors besides the state that the field depends on; those of the field if it is a
            module.
    """

    parameters: Sequence[Tensor] | None = None

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        """See ``StepGradient``."""
        with torch.no_grad():
            return step(y, first)

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        """See ``StepGradient``."""
        parameters = parameters_of(field, self.parameters)
        if not torch.is_grad_enabled():
            return taken

        def again(state: Tensor) -> tuple[Tensor, ...]:
            return _flat(step(state, field(t, state)))

        results = _Recomputed.apply(again, _flat(taken), y, *parameters)
        if taken.stiffness is None:
            state, error, *stages = results
            return Step(state, stages, error, None)
        state, error, stiffness, *stages = results
        return Step(state, stages, error, stiffness)


def parameters_of(field: Field, given: Iterable[Tensor] | None) -> list[Tensor]:
    """The tensors that gradients are wanted of.

    Raises:
        ValueError: if they are not given and the field is not a module.
    """
    if given is not None:
        return [parameter for parameter in given if parameter.requires_grad]
    if not isinstance(field, nn.Module):
        raise ValueError(
            "a vector field that is not a torch module does not say what it depends on; "
            "pass parameters=[...] (or [] for none)"
        )
    return [parameter for parameter in field.parameters() if parameter.requires_grad]


def _flat(step: Step) -> tuple[Tensor, ...]:
    stiffness = () if step.stiffness is None else (step.stiffness,)
    return (step.y, step.error, *stiffness, *step.stages)


class _Recomputed(torch.autograd.Function):
    """Stands for a computation whose results are there already, and repeats it for its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        again: Callable[[Tensor], tuple[Tensor, ...]],
        results: tuple[Tensor, ...],
        y: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.again = again
        ctx.save_for_backward(y, *parameters)
        ctx.set_materialize_grads(False)
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        y, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            state = y.detach().requires_grad_()
            results = ctx.again(state)
        wanted = [
            (result, gradient)
            for result, gradient in zip(results, gradients, strict=True)
            if gradient is not None and result.requires_grad
        ]
        if not wanted:
            return (None, None, None, *(None for _ in parameters))
        found = torch.autograd.grad(
            [result for result, _ in wanted],
            [state, *parameters],
            [gradient for _, gradient in wanted],
            allow_unused=True,
        )
        return None, None, *found
