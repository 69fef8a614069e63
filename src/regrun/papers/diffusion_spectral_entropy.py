"""*Diffusion Spectral Entropy*: whether it counts dimensions, unlike binned entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from regrun.contracts.procedure import Context, Description
from regrun.measures.information import code_entropy
from regrun.measures.spectrum import diffusion_spectral_entropy


@dataclass(frozen=True, eq=False)
class EntropyOfManifolds:
    """Entropies of points that are Gaussian in a few of many dimensions, with noise in all.

    Logged at step ``k``, the number of dimensions: ``diffusion_entropy``, and ``binned_entropy``, Shannon's
    with two bins to each dimension, which cannot exceed ``log2(samples)`` and is there at once; its share of
    that is ``binned_share``. Liu et al., arXiv 2312.04823.

    Args:
        noise: standard deviation in all dimensions.
        dimensions: numbers of signal dimensions, ascending.
        samples: points.
        width: all dimensions.
        scale: standard deviation of the signal.
        sigma: width of the diffusion's kernel.
    """

    metrics = ("diffusion_entropy", "binned_entropy", "binned_share")

    noise: float = 0.2
    dimensions: Sequence[int] = (2, 5, 10, 20)
    samples: int = 500
    width: int = 50
    scale: float = 2.0
    sigma: float = 10.0

    def __post_init__(self) -> None:
        if (
            list(self.dimensions) != sorted({*self.dimensions})
            or not self.dimensions
            or self.dimensions[-1] > self.width
        ):
            raise ValueError(f"dimensions must ascend and be at most width, got {list(self.dimensions)}")
        if self.noise < 0 or self.samples < 3 or min(self.scale, self.sigma) <= 0:
            raise ValueError("noise must be at least 0, samples at least 3, scale and sigma above 0")

    def __call__(self, context: Context) -> dict[str, float]:
        """Draw, and measure."""
        generator = torch.Generator().manual_seed(context.seed)
        context.begin(Description(steps=self.dimensions[-1], precision="64-true"))
        row: dict[str, float] = {}
        for k in self.dimensions:
            z = torch.zeros(self.samples, self.width, dtype=torch.float64)
            z[:, :k] = self.scale * torch.randn(self.samples, k, generator=generator, dtype=torch.float64)
            z += self.noise * torch.randn(z.shape, generator=generator, dtype=torch.float64)
            middle = (z.amax(0) + z.amin(0)) / 2
            binned = float(code_entropy((z > middle).long()))
            row = {
                "diffusion_entropy": float(diffusion_spectral_entropy(z, self.sigma)),
                "binned_entropy": binned,
                "binned_share": binned / math.log2(self.samples),
            }
            context.log(k, row)
        return row
