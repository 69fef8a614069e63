"""The loss whose gradient is sparsemax minus the target."""

from __future__ import annotations

from torch import Tensor

from regrun.losses.base import ClassificationLoss, as_probabilities, expected
from regrun.probability_maps.sparsemax import Sparsemax, sparsemax


class SparsemaxLoss(ClassificationLoss):
    """``-q.z + (|z_S|^2 - |S| tau^2 + |q|^2) / 2`` over sparsemax's support ``S``, for targets ``q``.

    Convex, at least 0, and 0 once sparsemax gives the target exactly; for two classes the modified Huber loss
    of the margin. Martins & Astudillo, arXiv 1602.02068.
    """

    def __init__(self) -> None:
        super().__init__()
        self.probability_map = Sparsemax()

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        q = as_probabilities(y, logits)
        # The maximum of p.z - |p|^2 / 2 over the simplex, taken at sparsemax; constant shifts cancel.
        z = logits - logits.amax(-1, keepdim=True).detach()
        p = sparsemax(z)
        return (p * z).sum(-1) - p.square().sum(-1) / 2 - expected(z, q) + q.square().sum(-1) / 2
