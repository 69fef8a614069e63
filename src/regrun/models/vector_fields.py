"""Vector fields of neural differential equations: small networks that know the time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeLinear(nn.Module):
    """A linear layer of ``[u; t]`` that never builds that vector.

    Initialized as the linear layer of ``size + 1`` inputs that it is.

    Args:
        size: entries of ``u``.
        width: width of the output.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        whole = nn.Linear(size + 1, width)
        self.weight = nn.Parameter(whole.weight[:, :-1].detach().clone())
        self.time_weight = nn.Parameter(whole.weight[:, -1].detach().clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """``(batch, size)`` to ``(batch, width)``; ``t`` is a scalar or ``(batch,)``."""
        if t.dim() == 0:
            return F.linear(u, self.weight, torch.addcmul(self.bias, self.time_weight, t))
        return F.linear(u, self.weight, self.bias) + t[:, None] * self.time_weight


class TanhField(nn.Module):
    """``f(t, u)`` of layers with tanh.

    Args:
        size: entries of the state.
        hidden: widths of the hidden layers.
        with_time: whether every layer reads the time.
        bounded: whether the last layer has a tanh, too.
        cubed: whether the first layer reads the cubes of the state's entries.
    """

    def __init__(
        self,
        size: int,
        hidden: Sequence[int],
        with_time: bool = True,
        bounded: bool = True,
        cubed: bool = False,
    ) -> None:
        super().__init__()
        if not hidden or any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be widths of at least 1, got {list(hidden)}")
        widths = [size, *hidden, size]
        make = TimeLinear if with_time else nn.Linear
        self.layers = nn.ModuleList(make(a, b) for a, b in pairwise(widths))
        self.with_time = with_time
        self.bounded = bounded
        self.cubed = cubed

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """``(batch, size)`` to the same."""
        if self.cubed:
            u = u**3
        for k, layer in enumerate(self.layers):
            u = layer(t, u) if self.with_time else layer(u)
            if self.bounded or k < len(self.layers) - 1:
                u = torch.tanh(u)
        return u
