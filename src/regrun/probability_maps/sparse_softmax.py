"""Softmax over the largest scores alone."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap


class SparseSoftmax(ProbabilityMap):
    """Softmax of the ``k`` largest scores; exactly ``k`` weights are not 0, ties or not.

    Sun et al., *Sparse-softmax*, arXiv 2112.12433.

    Args:
        k: number of competing scores.
    """

    positive = False

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k

    def weights(self, scores: Tensor, dim: int) -> Tensor:
        """See the class.

        Raises:
            ValueError: if there are fewer than ``k`` scores.
        """
        values, index = largest(scores, self.k, dim)
        return torch.zeros_like(scores).scatter(dim, index, values.softmax(dim))


def largest(z: Tensor, k: int, dim: int = -1) -> tuple[Tensor, Tensor]:
    """The ``k`` largest entries along ``dim``, and where they are.

    Raises:
        ValueError: if there are fewer.
    """
    if k > z.shape[dim]:
        raise ValueError(f"k={k} is larger than the number of scores, {z.shape[dim]}")
    values, index = z.topk(k, dim, sorted=False)
    return values, index
