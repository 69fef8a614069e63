"""Recomputation in the backward pass instead of storing intermediate results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from regrun.solvers.errors import UnsupportedGradientError
from regrun.solvers.transforms import transforming

NOT_FORWARD = (
    "torch.func, vmap and forward differentiation need a solver that keeps what it computed; "
    "choose Backpropagation in place of Checkpointing or ContinuousAdjoint"
)

Computation = Callable[..., Sequence[Tensor | None]]


def refuse_transforms() -> None:
    """Raise ``UnsupportedGradientError`` within transforms of ``torch.func``."""
    if transforming():
        raise UnsupportedGradientError(NOT_FORWARD)


def recomputed(
    again: Computation, results: Sequence[Tensor], inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Results that are there already, as part of the graph, whose gradients of any order repeat the work.

    Args:
        again: gives the results, differentiably, from inputs.
        results: results for the inputs.
        inputs: differentiable inputs.
        parameters: further tensors that the results depend on.
    """
    refuse_transforms()
    connected: tuple[Tensor, ...] = _Recomputed.apply(again, results, len(inputs), *inputs, *parameters)
    return connected


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, again: Computation, results: Sequence[Tensor], count: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.again, ctx.count = again, count
        ctx.parameters = tensors[count:]  # not saved for backward: hooks could replace them
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return tuple(result.detach() for result in results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        again, count, parameters = ctx.again, ctx.count, ctx.parameters
        inputs = ctx.saved_tensors[:count]
        places = [k for k, gradient in enumerate(gradients) if gradient is not None]

        def differentiate(*values: Tensor, graph: bool = True) -> Sequence[Tensor | None]:
            results = again(*values[:count])
            pairs = [
                (result, gradient)
                for result, gradient in zip((results[k] for k in places), values[count:], strict=True)
                if result is not None and result.requires_grad
            ]
            if not pairs:
                return [None] * (count + len(parameters))
            return torch.autograd.grad(
                [result for result, _ in pairs],
                [*values[:count], *parameters],
                [gradient for _, gradient in pairs],
                allow_unused=True,
                create_graph=graph,
            )

        values = [*inputs, *(gradients[k] for k in places)]
        with torch.enable_grad():
            fresh = [value.detach().requires_grad_() for value in values]
            found = list(differentiate(*fresh, graph=False))
        if torch.is_grad_enabled():  # they are to be differentiated in their turn
            kept = [k for k, part in enumerate(found) if part is not None]

            def again_kept(*values: Tensor) -> Sequence[Tensor | None]:
                parts = differentiate(*values)
                return [parts[k] for k in kept]

            known = [part for part in found if part is not None]
            for k, part in zip(kept, recomputed(again_kept, known, values, parameters), strict=True):
                found[k] = part
        return None, None, None, *found

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise UnsupportedGradientError(NOT_FORWARD)
