"""Cross-entropy of any positive probability map."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import ProbabilityMap, log_or_nothing
from regrun.losses.base import ClassificationLoss, expected
from regrun.probability_maps.stablemax import StableMax, stable_growth

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


class CrossEntropy(ClassificationLoss):
    """``-log p_y`` of the probabilities that a map makes of the logits.

    Args:
        probability_map: must be positive: the logarithm of an exact 0 is no loss.
    """

    def __init__(self, probability_map: ProbabilityMap) -> None:
        super().__init__()
        if not (probability_map.positive and probability_map.sums_to_one):
            raise ValueError(
                f"cross-entropy needs probabilities above 0, which {type(probability_map).__name__} does "
                "not give; it has a loss of its own, or is for attention"
            )
        self.probability_map = probability_map

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        assert self.probability_map is not None
        return -expected(self.probability_map.log(logits), y)


class SoftmaxCrossEntropy(ClassificationLoss):
    """Softmax cross-entropy computed in ``dtype``, whatever the model computes in.

    ``-log_softmax(logits.to(dtype))[y]``, as in the official code of *Grokking at the Edge of Numerical
    Stability*, arXiv 2501.04697. Below float64 the terms of wrong classes are absorbed once the margin is
    large: the loss reads exactly zero and the correct class gets no gradient. PyTorch accumulates half
    precision in float32, so in float16 it is the gradient of the mean, ``p_j / n``, that underflows first.

    Args:
        dtype: ``float16``, ``float32`` or ``float64``.
    """

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.dtype = DTYPES[dtype]

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        return -expected(F.log_softmax(logits, dim=-1, dtype=self.dtype), y)


class StableMaxCrossEntropy(ClassificationLoss):
    """Cross-entropy of StableMax, computed in float64.

    Prieto et al., *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697: with it networks grok
    without any other regularization, because no term of its sum is ever absorbed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.probability_map = StableMax()

    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        # Only one log per row is needed, so this beats gathering from log_stablemax.
        s = stable_growth(logits.to(torch.float64))
        if y.is_floating_point():
            return s.sum(-1).log() - expected(log_or_nothing(s), y)
        return s.sum(-1).log() - expected(s, y).log()
