"""The largest eigenvalues of the Hessian, its trace, and the edge of stability."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.lanczos import hutchinson, random_signs, top_eigenvalues
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.probes.base import Trial
from regrun.probes.samples import SampleProbe, need_full_precision, try_out


class CurvatureProbe(SampleProbe):
    """Eigenvalues and trace of a matrix of second derivatives of the loss.

    The loss is the dataset's, without regularizers, on the first ``samples`` of the split, in evaluation
    mode.

    Args:
        samples: number of samples.
        eigenvalues: number of largest eigenvalues.
        iterations: products of Lanczos' method, up to twice as many where they are not enough for more than
            one eigenvalue.
        vectors: number of vectors of Hutchinson's estimate of the trace; 0 leaves it out.
        every: evaluations from one measurement to the next.
        split: split of the samples.

    Attributes:
        product: the name of the landscape's product with the matrix.
    """

    product: str

    def __init__(
        self,
        samples: int = 256,
        eigenvalues: int = 3,
        iterations: int = 20,
        vectors: int = 8,
        every: int = 5,
        split: str = "train",
    ) -> None:
        super().__init__(samples, every, split)
        if not 1 <= eigenvalues <= iterations or vectors < 0:
            raise ValueError(
                "eigenvalues must be at least 1 and at most iterations, and vectors at least 0, "
                f"got {eigenvalues}, {iterations} and {vectors}"
            )
        self.eigenvalues = eigenvalues
        self.iterations = iterations
        self.vectors = vectors

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_full_precision(trial)
        with measuring(task.model):
            two = Landscape(task.model, task.criterion.loss, self.batch(task, most=2)[0])
            try_out("second derivatives", lambda: getattr(two, self.product)(two.gradient()))

    def spectrum(self, landscape: Landscape) -> tuple[Tensor, Tensor | None]:
        """The largest eigenvalues of a loss, descending, and the estimate of the trace."""
        generator = torch.Generator().manual_seed(0)  # the same vectors each time: curves do not jump
        multiply = getattr(landscape, self.product)
        like = landscape.gradient()
        start = torch.randn(landscape.size, generator=generator).to(like)
        values, _ = top_eigenvalues(multiply, start, self.eigenvalues, self.iterations)
        if not self.vectors:
            return values, None
        return values, hutchinson(multiply, random_signs(self.vectors, landscape.size, like, generator))[0]


class HessianSpectrum(CurvatureProbe):
    """``sharpness``, the largest eigenvalue of the Hessian, and ``hessian_eigenvalue/rank=k`` of the largest.

    ``hessian_trace`` is Hutchinson's estimate. ``edge_of_stability`` is the sharpness times the learning
    rate, over 2: full-batch gradient descent on a quadratic diverges beyond 1, and on networks hovers there
    (Cohen et al., arXiv 2103.00065). Costs ``iterations + vectors`` Hessian-vector products on ``samples``
    samples, each about two gradients, or more: see ``iterations``.
    """

    product = "hessian_vector"
    metrics = ("sharpness", "hessian_eigenvalue", "hessian_trace", "edge_of_stability")

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        with measuring(task.model):
            values, trace = self.spectrum(self.landscape(task))
        row: dict[str, float | Tensor] = {
            "sharpness": values[0],
            "edge_of_stability": values[0] * task.optimizer.param_groups[0]["lr"] / 2,
        }
        row |= {f"hessian_eigenvalue/rank={k}": value for k, value in enumerate(values, 1)}
        return row if trace is None else row | {"hessian_trace": trace}


class GaussNewtonSpectrum(CurvatureProbe):
    """``gauss_newton_eigenvalue/rank=k`` and ``gauss_newton_trace`` of the generalized Gauss-Newton matrix.

    That is the part of the Hessian which is left where the loss has reached its minimum, never negative.
    Costs ``iterations + vectors`` products on ``samples`` samples, each about three gradients, or more: see
    ``iterations``.
    """

    product = "gauss_newton_vector"
    metrics = ("gauss_newton_eigenvalue", "gauss_newton_trace")

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        with measuring(task.model):
            values, trace = self.spectrum(self.landscape(task))
        row: dict[str, float | Tensor] = {
            f"gauss_newton_eigenvalue/rank={k}": value for k, value in enumerate(values, 1)
        }
        return row if trace is None else row | {"gauss_newton_trace": trace}
