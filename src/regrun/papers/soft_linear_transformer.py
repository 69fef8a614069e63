"""*Softmax-free Linear Transformers*: the cost of their attention, and the accuracy of its inverse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.measures.timing import in_turns
from regrun.models.attention import Attention, DotProductAttention
from regrun.models.gaussian_attention import GaussianAttention, gaussian, newton_inverse

KINDS: dict[str, Callable[[], Attention]] = {
    "softmax": DotProductAttention,
    "low_rank": lambda: GaussianAttention(tokens=49),
}


@dataclass(frozen=True, eq=False)
class AttentionTimes:
    """Times one head of attention, forward, as sequences grow.

    ``softmax_time/length=n`` and ``low_rank_time/length=n``, of the Gaussian kernel through 49 pooled tokens,
    are milliseconds, the medians over rounds in which they take turns.

    Args:
        lengths: sequence lengths, ascending.
        width: width of queries, keys and values.
        rounds: number of timed rounds.
    """

    metrics = ("softmax_time", "low_rank_time")

    lengths: Sequence[int] = (512, 2048, 8192)
    width: int = 32
    rounds: int = 51

    def __post_init__(self) -> None:
        if list(self.lengths) != sorted({*self.lengths}) or min([*self.lengths, self.width, self.rounds]) < 1:
            raise ValueError(
                "lengths must ascend, and lengths, width and rounds be at least 1, "
                f"got {list(self.lengths)}, {self.width} and {self.rounds}"
            )

    @torch.no_grad()
    def __call__(self, context: Context) -> dict[str, float]:
        """Time."""
        generator = torch.Generator().manual_seed(context.seed)
        context.begin(Description(steps=len(self.lengths)))
        row: dict[str, float] = {}
        for step, length in enumerate(self.lengths):
            context.stop.check()
            q, k, v = torch.randn(3, 1, 1, length, self.width, generator=generator).unbind(0)
            calls = [_mixing(make(), q, k, v) for make in KINDS.values()]
            in_turns(calls, 1)  # to warm up
            found = in_turns(calls, self.rounds)
            row |= {
                f"{kind}_time/length={length}": 1e3 * time for kind, time in zip(KINDS, found, strict=True)
            }
            context.log(step, row)
        context.log(len(self.lengths), row)
        return row


def _mixing(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Callable[[], Tensor]:
    return lambda: attention.mix(q, k, v, causal=False)


@dataclass(frozen=True, eq=False)
class NewtonCheck:
    """The iterated inverse of Gaussian kernels of random tokens, in float64.

    ``inverse_error`` is ``|A Y A - A| / |A|`` in the Frobenius norm, the largest over kernels;
    ``gradient_error`` the relative distance of its gradient from that of ``torch.linalg.pinv``;
    ``condition`` the largest condition number.

    Args:
        tokens: number of tokens of a kernel.
        width: width of a token.
        kernels: number of kernels.
        iterations: number of Newton iterations.
    """

    metrics = ("inverse_error", "gradient_error", "condition")

    tokens: int = 49
    width: int = 32
    kernels: int = 50
    iterations: int = 20

    def __post_init__(self) -> None:
        if min(self.tokens, self.width, self.kernels, self.iterations) < 1:
            raise ValueError("tokens, width, kernels and iterations must be at least 1")

    def __call__(self, context: Context) -> dict[str, float]:
        """Invert."""
        generator = torch.Generator().manual_seed(context.seed)
        context.begin(Description(steps=1, precision="64-true"))
        x = torch.randn(self.kernels, self.tokens, self.width, generator=generator, dtype=torch.float64)
        a = gaussian(x, x).requires_grad_()
        direction = torch.randn(a.shape, generator=generator, dtype=torch.float64)
        y = newton_inverse(a, self.iterations)
        (found,) = torch.autograd.grad((y * direction).sum(), a)
        (expected,) = torch.autograd.grad((torch.linalg.pinv(a) * direction).sum(), a)
        a, y = a.detach(), y.detach()
        row = {
            "inverse_error": float((norms(a @ y @ a - a) / norms(a)).amax()),
            "gradient_error": float((norms(found - expected) / norms(expected)).amax()),
            "condition": float(torch.linalg.cond(a).amax()),
        }
        context.log(1, row)
        return row


def norms(a: Tensor) -> Tensor:
    """Frobenius norms of matrices."""
    return torch.linalg.matrix_norm(a)
