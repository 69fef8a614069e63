"""The covariance of the samples' gradients, and how it lies to the curvature."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.lanczos import hutchinson, random_signs, top_eigenvalues
from regrun.measures.looking import measuring
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe, gigabytes, need_full_precision, try_out


class GradientNoise(SampleProbe):
    """The covariance ``C`` of the gradients of single samples, against the Hessian ``H`` of their mean loss.

    ``gradient_noise`` is its trace, and ``noise_scale`` the trace over the squared gradient: the batch size
    at which noise and gradient are as large (McCandlish et al., arXiv 1812.06162). ``noise_alignment`` is
    ``tr(C H) / (|C|_F |H|_F)``, the cosine between the two matrices: 1 where noise is as the curvature is,
    about 0 where it is isotropic; ``|H|_F`` is Hutchinson's estimate. ``noise_in_top_curvature`` is the share
    of the noise along the ``directions`` leading eigenvectors. Costs one gradient of each of ``samples``
    samples, which are held in memory, and ``2 vectors + directions + 20`` Hessian-vector products, or more
    where eigenvalues take more to converge.

    Args:
        samples: number of samples.
        directions: leading eigenvectors of the Hessian.
        vectors: number of vectors of Hutchinson's estimate.
        every: evaluations from one measurement to the next.
        memory_gb: the most that the samples' gradients may take.
    """

    metrics = ("gradient_noise", "noise_scale", "noise_alignment", "noise_in_top_curvature")

    def __init__(
        self,
        samples: int = 128,
        directions: int = 5,
        vectors: int = 8,
        every: int = 5,
        memory_gb: float = 2.0,
    ) -> None:
        super().__init__(samples, every)
        if min(directions, vectors) < 1 or not memory_gb > 0:
            raise ValueError(
                "directions and vectors must be at least 1 and memory_gb above 0, "
                f"got {directions}, {vectors} and {memory_gb}"
            )
        self.directions = directions
        self.vectors = vectors
        self.memory_gb = memory_gb

    def attach(self, task: Task, trial: Trial) -> None:
        need_full_precision(trial)
        size = sum(p.numel() for p in task.model.parameters())
        if self.samples * size * 4 > self.memory_gb * 1e9:
            raise ProbeError(
                f"the gradients of {self.samples} samples for {size:,} parameters take "
                f"{gigabytes(self.samples * size)}, more than memory_gb={self.memory_gb:g}; take fewer"
            )
        with measuring(task.model):
            landscape = self.landscape(task)
            landscape.batch = self.batch(task, most=2)[0]
            try_out("the gradient of single samples", landscape.sample_gradients)
            try_out("second derivatives", lambda: landscape.hessian_vector(landscape.gradient()))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        generator = torch.Generator().manual_seed(0)
        with measuring(task.model):
            landscape = self.landscape(task)
            gradients = landscape.sample_gradients()
            mean = gradients.mean(0)
            noise = gradients - mean
            n = len(noise)
            trace = noise.square().sum() / n
            start = torch.randn(landscape.size, generator=generator).to(mean)
            _, leading = top_eigenvalues(
                landscape.hessian_vector, start, self.directions, self.directions + 20
            )
            signs = random_signs(self.vectors, landscape.size, mean, generator)
            _, hessian_square = hutchinson(landscape.hessian_vector, signs)
            # tr(C H) is the trace of N H N^T / n, estimated in the space of the samples.
            mix = random_signs(self.vectors, n, mean, generator)
            images = [noise.T @ s for s in mix]
            product = torch.stack([u @ landscape.hessian_vector(u) for u in images]).mean() / n
            square = (noise @ noise.T).square().sum() / n**2
        return {
            "gradient_noise": trace,
            "noise_scale": trace / mean.square().sum(),
            "noise_alignment": product / (square * hessian_square).sqrt(),
            "noise_in_top_curvature": (noise @ leading).square().sum() / n / trace,
        }
