"""The loss as a function of all weights: gradients and products with its matrices of second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp, vmap

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output, as_output

Loss = Callable[[Output, Batch], Tensor]


class Landscape:
    """The mean loss over some samples as a function of all trainable parameters, one vector of ``size``.

    Products cost one (Hessian) or two (Gauss-Newton) passes more than a gradient, and no matrix is formed.
    To be used within ``measuring(model)``.

    Args:
        model: the network; its parameters stay as they are.
        loss: loss of an output and a batch, a scalar: a mean over samples.
        batch: the samples, as the model reads them.
    """

    def __init__(self, model: nn.Module, loss: Loss, batch: Batch) -> None:
        self.model = model
        self.loss = loss
        self.batch = batch
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.size = sum(p.numel() for p in self.parameters.values())

    def flat(self, parts: Any) -> Tensor:
        """Tensors of the parameters' shapes, as one vector."""
        return torch.cat([part.reshape(-1) for part in parts])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """A vector, as tensors of the parameters' shapes."""
        pieces = vector.split([p.numel() for p in self.parameters.values()])
        return [piece.view_as(p) for piece, p in zip(pieces, self.parameters.values(), strict=True)]

    @cached_property
    def _value(self) -> Tensor:
        return self.loss(as_output(self.model(self.batch.x)), self.batch)

    @cached_property
    def _gradient(self) -> Tensor:
        weights = list(self.parameters.values())
        return self.flat(torch.autograd.grad(self._value, weights, create_graph=True, materialize_grads=True))

    def value(self) -> Tensor:
        """The loss."""
        return self._value.detach()

    def gradient(self) -> Tensor:
        """The gradient, ``(size,)``."""
        return self._gradient.detach()

    def hessian_vector(self, v: Tensor) -> Tensor:
        """``H v`` with the Hessian ``H`` of the loss (Pearlmutter 1994)."""
        if not self._gradient.requires_grad:
            return torch.zeros_like(v)  # the loss is linear in the weights
        weights = list(self.parameters.values())
        found = torch.autograd.grad(
            self._gradient, weights, v, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return self.flat(found).detach()

    def gauss_newton_vector(self, v: Tensor) -> Tensor:
        """``G v`` with the generalized Gauss-Newton matrix ``G = J^T H_out J`` (Schraudolph 2002).

        ``J`` is the Jacobian of the outputs, ``H_out`` the Hessian of the loss with respect to them.
        """
        weights = {name: p.detach() for name, p in self.parameters.items()}
        tangent = dict(zip(weights, self.parts(v), strict=True))

        def outputs(w: dict[str, Tensor]) -> Tensor:
            return as_output(functional_call(self.model, w, (self.batch.x,))).logits

        z, moved = jvp(outputs, (weights,), (tangent,))[:2]
        z = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.loss(Output(z), self.batch), z, create_graph=True)
        (curved,) = torch.autograd.grad(slope, z, moved, materialize_grads=True)
        back: dict[str, Tensor] = vjp(outputs, weights)[1](curved)[0]
        return self.flat(back.values()).detach()

    def sample_gradients(self, chunk: int = 64) -> Tensor:
        """The gradient of each sample's loss, ``(n, size)``.

        Args:
            chunk: samples at a time, for memory.
        """
        weights = {name: p.detach() for name, p in self.parameters.items()}

        def loss(w: dict[str, Tensor], x: Tensor, y: Tensor, index: Tensor) -> Tensor:
            output = as_output(functional_call(self.model, w, (x[None],)))
            return self.loss(output, Batch(x[None], y[None], index[None]))

        rows = []
        for start in range(0, len(self.batch.x), chunk):
            part = slice(start, start + chunk)
            x, y, index = self.batch.x[part], self.batch.y[part], self.batch.index[part]
            found = vmap(grad(loss), in_dims=(None, 0, 0, 0))(weights, x, y, index)
            rows.append(torch.cat([g.flatten(1) for g in found.values()], 1))
        return torch.cat(rows)
