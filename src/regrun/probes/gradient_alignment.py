"""The angle between the gradient and the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.probes.base import Probe
from regrun.regularizers.shards import whole


class GradientAlignment(Probe):
    """Cosine between the weights ``w`` and the descent direction ``-g`` of the last step.

    ``gradient_weight_cosine`` over all parameters as one vector, before any regularizer edited the
    gradient: near 1 is naive loss minimization, which only scales the weights up.
    ``gradient_weight_cosine/<parameter>`` the same per tensor. ``edited_gradient_weight_cosine`` is the
    largest absolute per-tensor cosine of the gradient that the optimizer got: 0 under ⊥Grad, which projects
    tensor by tensor. Prieto et al., *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697.
    Nothing is reported before the first step.
    """

    metrics = ("gradient_weight_cosine", "edited_gradient_weight_cosine")
    splits = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, float | Tensor] = {}

    @torch.no_grad()
    def on_gradient(self, task: Task) -> None:
        names, inner, w_square, g_square = _products(task)
        total = _cosine(inner.sum(), w_square.sum(), g_square.sum())
        self.seen["gradient_weight_cosine"] = total
        for name, cosine in zip(names, _cosine(inner, w_square, g_square), strict=True):
            self.seen[f"gradient_weight_cosine/{name}"] = cosine

    @torch.no_grad()
    def on_edited_gradient(self, task: Task) -> None:
        _, *products = _products(task)
        self.seen["edited_gradient_weight_cosine"] = _cosine(*products).abs().amax()

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        seen, self.seen = self.seen, {}
        return seen


def _products(task: Task) -> tuple[list[str], Tensor, Tensor, Tensor]:
    """Names, and per tensor ``w.(-g)``, ``w.w`` and ``g.g`` in float64: late gradients are tiny."""
    pairs = [
        (name, w.double(), -w.grad.double())
        for name, w in task.model.named_parameters()
        if w.grad is not None
    ]
    products = [
        torch.stack([whole(found.sum()) for found in (w * g, w.square(), g.square())]) for _, w, g in pairs
    ]
    inner, w_square, g_square = torch.stack(products).unbind(1)
    return [name for name, _, _ in pairs], inner, w_square, g_square


def _cosine(inner: Tensor, w_square: Tensor, g_square: Tensor) -> Tensor:
    # A zero vector has no direction; reported as orthogonal to everything, as torch does.
    return inner / (w_square.sqrt() * g_square.sqrt()).clamp_min(1e-300)
