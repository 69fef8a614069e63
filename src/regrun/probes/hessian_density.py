"""All eigenvalues of the Hessian, as a density."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.lanczos import random_signs, spectral_density
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.probes.base import Trial
from regrun.probes.samples import SampleProbe, need_full_precision, try_out


class HessianDensity(SampleProbe):
    """How many eigenvalues of the Hessian are how large, by stochastic Lanczos quadrature.

    ``hessian_density/eigenvalue=v`` is the share of all eigenvalues in a bin around ``v``: two bins to a
    decade on either side of 0, the one at 0 holding what is smaller in size than the smallest.
    ``negative_curvature`` is the share below minus a hundredth of the largest. Costs ``vectors * iterations``
    Hessian-vector products on ``samples`` samples, each about two gradients. Ghorbani et al., arXiv
    1901.10159. All are ``nan`` where the Hessian is not finite.

    Args:
        samples: number of samples.
        vectors: random starting vectors.
        iterations: Lanczos iterations per vector.
        smallest: decimal exponent of the smallest size that is told from 0.
        largest: decimal exponent of the largest bin, which includes larger values.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = ("hessian_density", "negative_curvature")

    def __init__(
        self,
        samples: int = 256,
        vectors: int = 2,
        iterations: int = 40,
        smallest: int = -2,
        largest: int = 3,
        every: int = 5,
        split: str = "train",
    ) -> None:
        super().__init__(samples, every, split)
        if min(vectors, iterations) < 1 or smallest >= largest:
            raise ValueError(
                "vectors and iterations must be at least 1 and smallest below largest, "
                f"got {vectors}, {iterations}, {smallest} and {largest}"
            )
        self.vectors = vectors
        self.iterations = iterations
        exponents = torch.arange(2 * smallest, 2 * largest + 1, dtype=torch.float64) / 2
        self.edges = torch.cat([-(10**exponents).flip(0), 10**exponents])
        inner = 10 ** (exponents[:-1] + 0.25)
        self.centres = [*(-inner.flip(0)).tolist(), 0.0, *inner.tolist()]

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_full_precision(trial)
        with measuring(task.model):
            two = Landscape(task.model, task.criterion.loss, self.batch(task, most=2)[0])
            try_out("second derivatives", lambda: two.hessian_vector(two.gradient()))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        with measuring(task.model):
            landscape = self.landscape(task)
            generator = torch.Generator().manual_seed(0)
            starts = random_signs(self.vectors, landscape.size, landscape.gradient(), generator)
            values, weights = spectral_density(landscape.hessian_vector, starts, self.iterations)
        place = (torch.bucketize(values, self.edges) - 1).clamp(0, len(self.centres) - 1)
        share = torch.zeros(len(self.centres), dtype=torch.float64).index_add_(0, place, weights)
        negative = weights[values < -values.max() / 100].sum()
        if not bool(values.isfinite().all()):
            share, negative = share * math.nan, negative * math.nan
        row: dict[str, float | Tensor] = {
            f"hessian_density/eigenvalue={v:.3g}": s for v, s in zip(self.centres, share, strict=True)
        }
        return row | {"negative_curvature": negative}
