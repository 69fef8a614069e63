"""A classifier that is one layer of attention to prototypes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output
from regrun.models.attention import DotProductAttention, InverseDistanceAttention

KINDS = ("inverse_distance", "dot_product")


class PrototypeAttention(nn.Module):
    """Logits are the values of learnt keys, weighed by how the input matches them.

    ``sum_h a_h V_h`` with ``a_h`` in proportion to the inverse distance of the input from the key ``K_h`` to
    the power ``p``, or to ``exp(x.K_h / sqrt(d))``. Inverse distance weighting attention, arXiv 2310.18805.

    Args:
        inputs: must be real-valued.
        classes: width of the output.
        keys: number of keys.
        kind: ``inverse_distance`` or ``dot_product``.
        power: ``p``.
        centre: mean of the initial keys' entries.
        spread: their standard deviation.

    Shape:
        input ``(batch, ...)``, logits ``(batch, classes)``, features (the weights) ``(batch, keys)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        keys: int = 100,
        kind: str = "inverse_distance",
        power: float = 1.0,
        centre: float = 0.13,
        spread: float = 0.1,
    ) -> None:
        super().__init__()
        if isinstance(inputs, Tokens):
            raise ValueError("distances need real-valued inputs, and this dataset has symbols")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if keys < 1 or spread <= 0:
            raise ValueError(f"keys must be at least 1 and spread above 0, got {keys} and {spread}")
        self.keys = nn.Parameter(centre + spread * torch.randn(keys, math.prod(inputs.shape)))
        self.values = nn.Parameter(0.01 * torch.randn(keys, classes))
        distance = kind == "inverse_distance"
        self.attention = InverseDistanceAttention(power) if distance else DotProductAttention()

    def weights(self, x: Tensor) -> Tensor:
        """The weight of each key, ``(batch, keys)``."""
        found: Tensor = self.attention(x.flatten(1), self.keys, False)
        return found

    def forward(self, x: Tensor) -> Output:
        weights = self.weights(x)
        return Output(weights @ self.values, weights)
