"""Two layers that fit any labels, by construction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description


@dataclass(frozen=True, eq=False)
class FiniteSampleExpressivity:
    """Builds the ReLU network of ``2 n + d`` weights that fits ``n`` random labels exactly.

    ``c(x) = sum_j w_j max(a.x - b_j, 0)``: a random ``a`` separates the samples, ``b_1 < z_1 < b_2 < ... <
    z_n`` interleave their projections ``z``, so that ``A_ij = max(z_i - b_j, 0)`` is lower triangular with
    a positive diagonal, and ``A w = y`` has a solution. Zhang et al., arXiv 1611.03530, theorem 1. In
    float64.

    Args:
        samples: n.
        dimension: d.
    """

    metrics = ("interpolation_error", "weights", "smallest_pivot")

    samples: int = 200
    dimension: int = 10

    def __post_init__(self) -> None:
        if self.samples < 1 or self.dimension < 1:
            raise ValueError(
                f"samples and dimension must be at least 1, got {self.samples} and {self.dimension}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Construct, and measure the largest error."""
        generator = torch.Generator().manual_seed(context.seed)
        x = torch.randn(self.samples, self.dimension, generator=generator, dtype=torch.float64)
        y = torch.randint(2, (self.samples,), generator=generator).double()
        a = torch.randn(self.dimension, generator=generator, dtype=torch.float64)
        context.begin(Description(steps=1, precision="64-true", sizes={"samples": self.samples}))
        b, w = fit(x @ a, y)
        hidden = (x @ a)[:, None] - b
        result = {
            "interpolation_error": float((hidden.clamp_min(0) @ w - y).abs().max()),
            "weights": float(len(a) + len(b) + len(w)),
            "smallest_pivot": float(hidden[hidden > 0].min()),
        }
        context.log(1, result)
        return result


def fit(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds ``b`` and weights ``w`` with ``sum_j w_j max(z_i - b_j, 0) = y_i``.

    Args:
        z: distinct projections, ``(n,)``.
        y: targets, ``(n,)``.
    """
    order = z.argsort()
    z, y = z[order], y[order]
    b = torch.cat([z[:1] - 1, (z[:-1] + z[1:]) / 2])
    matrix = (z[:, None] - b).clamp_min(0)
    return b, torch.linalg.solve_triangular(matrix, y[:, None], upper=False).squeeze(1)
