"""Cross-entropy whose normalizer sees the largest logits alone."""

from __future__ import annotations

from torch import Tensor

from regrun.losses.base import ClassificationLoss, expected
from regrun.probability_maps.sparse_softmax import SparseSoftmax, largest


class SparseSoftmaxLoss(ClassificationLoss):
    """``log sum_{j in top k} exp(z_j) - z_y``.

    Finite for a target outside the ``k`` largest, too, whose logit it pushes up. Sun et al.,
    *Sparse-softmax*, arXiv 2112.12433.

    Args:
        k: number of competing logits.
    """

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        self.k = k
        self.probability_map = SparseSoftmax(k)

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        return largest(logits, self.k)[0].logsumexp(-1) - expected(logits, y)
