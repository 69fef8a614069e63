"""Sparsemax: the nearest point of the simplex."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap, weigh


class Sparsemax(ProbabilityMap):
    """Euclidean projection onto the simplex: ``argmin_p |p - z|^2``. Most weights may be exactly 0.

    Martins & Astudillo, arXiv 1602.02068.
    """

    positive = False

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        return project(scores, dim)


def sparsemax(z: Tensor, dim: int = -1) -> Tensor:
    """``Sparsemax`` as a function.

    Shape:
        any, kept.
    """
    return weigh(project, z, dim)


def project(z: Tensor, dim: int) -> Tensor:
    """``max(z_i - tau, 0)`` along ``dim``, with the threshold ``tau`` that makes the sum 1.

    Its Jacobian is ``diag(s) - s s^T / |s|`` with the support's indicator ``s``. ``n log n`` for the sort.
    """
    z = z - z.amax(dim, keepdim=True).detach()  # the sums below lose nothing
    return (z - threshold(z, dim)).clamp_min(0)


def threshold(z: Tensor, dim: int = -1) -> Tensor:
    """Sparsemax's ``tau``, with a size of 1 along ``dim``."""
    sorted_z = z.sort(dim, descending=True).values
    total = sorted_z.cumsum(dim)
    count = torch.arange(1, z.shape[dim] + 1, dtype=z.dtype, device=z.device)
    count = count.view([-1 if k == dim % z.ndim else 1 for k in range(z.ndim)])
    size = (1 + count * sorted_z > total).sum(dim, keepdim=True).clamp_min(1)  # of nan, too
    return (total.gather(dim, size - 1) - 1) / size
