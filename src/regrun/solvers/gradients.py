"""Methods of differentiation: what is stored of a step, and what is recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from regrun.solvers.errors import UnsupportedGradientError
from regrun.solvers.recomputing import recomputed
from regrun.solvers.stepping import Field, Step, evaluate
from regrun.solvers.transforms import same_precision

Attempt = Callable[[Tensor, Tensor], Step]  # a step, from the state and the field there


class StepGradient(Protocol):
    """How a step's gradient is found."""

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        """A step that may be rejected."""

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        """The same step, once it is accepted, as part of the graph."""


@dataclass(frozen=True)
class Backpropagation:
    """The discrete adjoint: differentiates the accepted steps, storing their intermediate results.

    Exact for the discretized solution, with step sizes as constants; derivatives of any order, also by
    forward differentiation. Memory grows with the evaluations.
    """

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        return step(y, first)

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        return taken


@dataclass(frozen=True)
class Checkpointing:
    """The discrete adjoint, which keeps each step's initial state alone and computes the rest anew.

    The same gradients as ``Backpropagation``, for one more evaluation of every stage and memory that grows
    with the number of steps only. Derivatives of any order, but not by forward differentiation nor by
    ``torch.func``. The field must not draw random numbers.

    Args:
        parameters: the tensors besides the state that the field depends on; those of the field if it is a
            module.
    """

    parameters: Sequence[Tensor] | None = None

    def __post_init__(self) -> None:
        keep(self, self.parameters)

    def attempt(self, step: Attempt, y: Tensor, first: Tensor) -> Step:
        with torch.no_grad():
            return step(y, first)

    def accept(self, step: Attempt, taken: Step, field: Field, t: Tensor, y: Tensor) -> Step:
        parameters = parameters_of(field, self.parameters)
        if not torch.is_grad_enabled():
            return taken
        precision = same_precision(y.device)

        def again(state: Tensor) -> tuple[Tensor, ...]:
            check_parameters(field, self.parameters, parameters)
            with precision():
                return _flat(step(state, evaluate(field, t, state)))

        results = recomputed(again, _flat(taken), [y], parameters)
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


def check_parameters(field: Field, given: Iterable[Tensor] | None, before: Sequence[Tensor]) -> None:
    """Raise ``UnsupportedGradientError`` if the field has not the parameters any more that it had before."""
    now = parameters_of(field, given)
    if len(now) != len(before) or any(a is not b for a, b in zip(now, before, strict=True)):
        raise UnsupportedGradientError(
            "the field's parameters are others than when it was solved, as after torch.func.functional_call; "
            "choose Backpropagation"
        )


def keep(gradient: object, parameters: Iterable[Tensor] | None) -> None:
    """Store parameters as a tuple: an iterator, such as ``model.parameters()``, can be read once only."""
    if parameters is not None:
        object.__setattr__(gradient, "parameters", tuple(parameters))  # the dataclass is frozen


def _flat(step: Step) -> tuple[Tensor, ...]:
    stiffness = () if step.stiffness is None else (step.stiffness,)
    return (step.y, step.error, *stiffness, *step.stages)
