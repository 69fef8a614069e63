"""Attention without softmax: a Gaussian kernel, whole or of low rank."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from regrun.contracts.probability_map import widened
from regrun.models.attention import Attention, squared_distances


class GaussianAttention(Attention):
    """``exp(-|q_i - q_j|^2 / (2 sqrt(d)))``, not normalized; keys are the queries.

    With ``tokens`` the matrix is replaced by its Nyström approximation ``P^T A^-1 P`` through so many pooled
    queries, with ``A`` the kernel among them and ``P`` that between them and all, at a cost linear in the
    length. The inverse is found by Newton's iteration and normalized as ``D^(-1/2) A^-1 D^(-1/2)``, where
    ``D`` has the row sums of ``A``. Lu et al., *Softmax-free Linear Transformers*, arXiv 2207.03341; the
    ridge is that of the official code, which pools by a convolution and, in the version that was looked at,
    does not normalize.

    Args:
        tokens: pooled queries, ``None`` for the whole kernel.
        iterations: number of Newton iterations.
        ridge: added to the diagonal of ``A``.
    """

    tied = True

    def __init__(self, tokens: int | None = 16, iterations: int = 20, ridge: float = 0.01) -> None:
        super().__init__()
        if (tokens is not None and tokens < 1) or iterations < 1 or not 0 <= ridge < math.inf:
            raise ValueError(
                "tokens and iterations must be at least 1 and ridge at least 0, "
                f"got {tokens}, {iterations} and {ridge}"
            )
        self.tokens = tokens
        self.iterations = iterations
        self.ridge = ridge

    def forward(self, q: Tensor, k: Tensor, causal: bool) -> Tensor:
        if self.tokens is None:
            weights = gaussian(q, k)
            return weights.tril() if causal else weights
        near, inverse = self.factors(q, k, causal)
        with torch.autocast(q.device.type, enabled=False):
            return (near.mT @ inverse @ near).to(q.dtype)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        if self.visible or self.tokens is None:
            return super().mix(q, k, v, causal)
        near, inverse = self.factors(q, k, causal)
        with torch.autocast(q.device.type, enabled=False):
            return (near.mT @ (inverse @ (near @ v.to(near.dtype)))).to(v.dtype)

    def factors(self, q: Tensor, k: Tensor, causal: bool) -> tuple[Tensor, Tensor]:
        """``P`` and the normalized ``A^+``, in float32 at least: half precision has too few digits to invert.

        Raises:
            ValueError: if attention is causal: pooled queries see the future.
        """
        if causal:
            raise ValueError("attention of low rank pools over all positions, and cannot be causal")
        assert self.tokens is not None
        with torch.autocast(q.device.type, enabled=False):
            few = pool_tokens(widened(q), self.tokens)
            among = gaussian(few, few)
            ridge = self.ridge * torch.eye(few.shape[-2], dtype=few.dtype, device=q.device)
            inverse = newton_inverse(among + ridge, self.iterations)
            root = among.sum(-1).rsqrt()
            return gaussian(few, widened(k)), root[..., None] * inverse * root[..., None, :]


def gaussian(a: Tensor, b: Tensor) -> Tensor:
    """``exp(-|a_i - b_j|^2 / (2 sqrt(d)))``."""
    return torch.exp(-squared_distances(a, b) / (2 * math.sqrt(a.shape[-1])))


def pool_tokens(x: Tensor, count: int) -> Tensor:
    """Means over ``count`` patches of a square grid of tokens, or over pieces of a line where it is none.

    Shape:
        ``(..., n, d)`` to ``(..., m, d)``; ``m`` is ``count``, or its nearest square below on a grid.
    """
    *outer, n, d = x.shape
    side, small = math.isqrt(n), math.isqrt(count)
    lines = x.mT.reshape(-1, d, n)
    if side * side == n:
        pooled = F.adaptive_avg_pool2d(lines.view(-1, d, side, side), min(small, side)).flatten(2)
    else:
        pooled = F.adaptive_avg_pool1d(lines, min(count, n))
    return pooled.mT.reshape(*outer, -1, d)


class _NewtonInverse(torch.autograd.Function):
    """The gradient of the inverse, computed without the iterations."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, iterations: int) -> Tensor:
        norm = a.abs().sum(-1).amax(-1)[..., None, None]
        y = 1.8 / norm.square() * a
        for _ in range(iterations):
            y = 2 * y - y @ a @ y
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return -y.mT @ grad @ y.mT, None


def newton_inverse(a: Tensor, iterations: int = 20) -> Tensor:
    """The inverse of symmetric positive definite matrices by ``Y <- 2 Y - Y A Y``, from ``1.8 A / |A|_1^2``.

    Ben-Israel & Cohen 1966. It doubles the digits once near; far from singular matrices 20 rounds are enough.
    The gradient is ``-Y^T G Y^T``.
    """
    found: Tensor = _NewtonInverse.apply(a, iterations)
    return found
