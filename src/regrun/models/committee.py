"""A two-layer network that begins at zero, and as lazy as one likes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output


class Committee(nn.Module):
    """``f(x) = alpha / N (sum_i phi(w_i . x) - sum_i phi(w_i(0) . x))``, ``phi(h) = h + curvature h^2 / 2``.

    Only the ``w_i``, drawn from the standard normal, are trained. With a learning rate proportional to ``N /
    alpha^2`` the outputs move at a speed that does not depend on ``alpha``, and the weights the less the
    larger it is: lazy training at large ``alpha``, rich at small. Kumar et al., *Grokking as the Transition
    from Lazy to Rich Training Dynamics*, arXiv 2310.06110.

    Args:
        inputs: real-valued.
        classes: must be 1.
        hidden: ``N``.
        alpha: scale of the output.
        curvature: curvature of the activation; smaller values make the initial kernel more linear.

    Shape:
        input ``(batch, ...)``, logits ``(batch, 1)``, features ``(batch, hidden)``.
    """

    initial: Tensor

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: int = 500,
        alpha: float = 1.0,
        curvature: float = 0.25,
    ) -> None:
        super().__init__()
        if isinstance(inputs, Tokens) or classes != 1:
            raise ValueError("a committee machine gives one number for real-valued inputs")
        if hidden < 1 or alpha <= 0:
            raise ValueError(f"hidden must be at least 1 and alpha above 0, got {hidden} and {alpha}")
        self.alpha = alpha
        self.curvature = curvature
        self.weight = nn.Parameter(torch.randn(hidden, math.prod(inputs.shape)))
        self.register_buffer("initial", self.weight.detach().clone())

    def activate(self, x: Tensor, weight: Tensor) -> Tensor:
        """``phi`` of every unit, ``(batch, hidden)``."""
        h = x @ weight.T
        return h + self.curvature / 2 * h.square()

    def forward(self, x: Tensor) -> Output:
        x = x.flatten(1)
        features = self.activate(x, self.weight)
        with torch.no_grad():
            start = self.activate(x, self.initial).mean(1, keepdim=True)
        return Output(self.alpha * (features.mean(1, keepdim=True) - start), features)
