"""Softmax cross-entropy in a chosen floating-point format."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.regularizers.base import Regularizer, Step

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


class SoftmaxCrossEntropy(Regularizer):
    """Replaces the loss by softmax cross-entropy computed in ``dtype``, whatever the model computes in.

    ``-mean log_softmax(logits.to(dtype))[y]``, with the mean in ``dtype`` too, as in the official code of
    *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697. Below float64 the terms of wrong
    classes are absorbed once the margin is large: the loss reads exactly zero and the correct class gets no
    gradient. PyTorch accumulates half precision in float32, so in float16 it is the gradient, ``p_j / n``,
    that underflows first.

    Args:
        dtype: ``float16``, ``float32`` or ``float64``.
    """

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.dtype = DTYPES[dtype]

    def loss(self, step: Step) -> Tensor:
        """See the class."""
        return softmax_cross_entropy(step.output.logits, step.batch.y, self.dtype)


def softmax_cross_entropy(logits: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    """Mean cross-entropy of softmax, every operation in ``dtype``.

    Args:
        logits: ``(batch, classes)``.
        y: class indices, ``(batch,)``, or probabilities, ``(batch, classes)``.
        dtype: of the log-probabilities and of the mean.
    """
    log_p = F.log_softmax(logits, dim=-1, dtype=dtype)
    if y.is_floating_point():
        return -(y.to(dtype) * log_p).sum(1).mean()
    return -log_p.gather(1, y[:, None]).mean()
