"""Last layers that read angles: cosine softmax, and the wrapped Cauchy distribution's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# A parameter times this is what is used, so that its learning rate is ten times the others'.
BOOST = math.sqrt(10)


class CosineHead(nn.Linear):
    """``s cos(x, w_c)`` with a scale ``s = 1 + softplus(s_0)`` that is trained, or fixed.

    Args:
        in_features: width of the features.
        out_features: classes.
        scale: fixed, above 0; ``None`` trains it from ``s_0 = 0``.
    """

    def __init__(self, in_features: int, out_features: int, scale: float | None = None) -> None:
        super().__init__(in_features, out_features, bias=False)
        if scale is not None and not 0 < scale < math.inf:
            raise ValueError(f"scale must be above 0, or null to train it, got {scale}")
        self.fixed = scale
        self.raw_scale = None if scale is not None else nn.Parameter(torch.zeros(()))

    @property
    def scale(self) -> Tensor | float:
        """``s``."""
        if self.raw_scale is None:
            assert self.fixed is not None
            return self.fixed
        return 1 + F.softplus(BOOST * self.raw_scale)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(batch, width)`` to logits ``(batch, classes)``."""
        return self.scale * self.peaks(cosines(x, self.weight))

    def peaks(self, cosine: Tensor) -> Tensor:
        """The logits before scaling."""
        return cosine


class WrappedCauchyHead(CosineHead):
    """``s / (2 pi) (1 - g_c^2) / (1 + g_c^2 - 2 g_c cos(x, w_c))`` with a concentration ``g_c`` per class.

    ``g_c = sigmoid(u_c)``, trained from ``u_c = -1``; the greater, the sharper the peak at angle 0. Han,
    *Wrapped Cauchy Distributed Angular Softmax*, arXiv 2305.18732.

    Args:
        in_features: width of the features.
        out_features: classes.
        scale: fixed, above 0; ``None`` trains it.
    """

    def __init__(self, in_features: int, out_features: int, scale: float | None = None) -> None:
        super().__init__(in_features, out_features, scale)
        self.raw_concentration = nn.Parameter(torch.full((out_features,), -1 / BOOST))

    @property
    def concentration(self) -> Tensor:
        """``g``, ``(classes,)``."""
        return torch.sigmoid(BOOST * self.raw_concentration)

    def peaks(self, cosine: Tensor) -> Tensor:
        """The density of the wrapped Cauchy distribution at the angle."""
        g = self.concentration
        above, below = 1 - g.square(), 1 + g.square() - 2 * g * cosine
        # At a concentration that rounds to 1 the density has no value at angle 0.
        return above / below.clamp_min(torch.finfo(below.dtype).eps) / (2 * math.pi)


def cosines(x: Tensor, weight: Tensor) -> Tensor:
    """The cosines of the angles between rows, ``(batch, classes)``."""
    return F.normalize(x, dim=-1) @ F.normalize(weight, dim=-1).T
