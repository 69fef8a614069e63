"""The angle between the gradient and the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.probes.base import Probe
from regrun.regularizers.base import Task


class GradientAlignment(Probe):
    """Cosine between the weights ``w`` and the descent direction ``-g`` of the last step.

    ``gradient_weight_cosine`` over all parameters as one vector, before any regularizer edited the
    gradient: near 1 is naive loss minimization, which only scales the weights up.
    ``gradient_weight_cosine/<parameter>`` the same per tensor. ``edited_gradient_weight_cosine`` is the
    largest absolute per-tensor cosine of the gradient that the optimizer got: 0 under ⊥Grad, which projects
    tensor by tensor. Prieto et al., *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697,
    section 5. Nothing is reported before the first step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, float | Tensor] = {}

    @torch.no_grad()
    def on_gradient(self, task: Task) -> None:
        """See the class."""
        pairs = [(name, w, w.grad) for name, w in task.model.named_parameters() if w.grad is not None]
        inner = torch.stack([-(w * g).sum(dtype=torch.float64) for _, w, g in pairs])
        w_square = torch.stack([w.square().sum(dtype=torch.float64) for _, w, _ in pairs])
        g_square = torch.stack([g.square().sum(dtype=torch.float64) for _, _, g in pairs])
        self.seen["gradient_weight_cosine"] = _cosine(
            inner.sum(), w_square.sum(), g_square.sum()
        )
        for (name, _, _), cosine in zip(pairs, _cosine(inner, w_square, g_square), strict=True):
            self.seen[f"gradient_weight_cosine/{name}"] = cosine

    @torch.no_grad()
    def on_edited_gradient(self, task: Task) -> None:
        """See the class."""
        cosines = [
            torch.cosine_similarity(w.flatten().double(), w.grad.flatten().double(), dim=0).abs()
            for w in task.model.parameters()
            if w.grad is not None
        ]
        self.seen["edited_gradient_weight_cosine"] = torch.stack(cosines).amax()

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        """See the class."""
        seen, self.seen = self.seen, {}
        return seen


def _cosine(inner: Tensor, a_square: Tensor, b_square: Tensor) -> Tensor:
    # A zero vector has no direction; reported as orthogonal to everything, as torch does.
    return inner / (a_square * b_square).sqrt().clamp_min(1e-300)
