"""Samples mixed with each other: mixup and CutMix."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Beta

from regrun.contracts.batch import Batch, Mixture
from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_probabilities


class Mixup(Regularizer):
    """Inputs and labels are convex combinations of two samples'. Zhang et al., arXiv 1710.09412.

    One share is drawn for the whole batch, from ``Beta(alpha, alpha)``; the larger part is the sample's own.

    Args:
        alpha: above 0; 1 draws the share uniformly.
    """

    softens_labels = True
    splits = True
    couples = True

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise ValueError(f"alpha must be above 0, got {alpha}")
        self.alpha = alpha

    def attach(self, task: Task) -> None:
        """Note the number of classes."""
        self.classes = task.classes

    def transform(self, batch: Batch) -> Batch:
        """See the class.

        Raises:
            ValueError: if the inputs are symbols.
        """
        if not batch.x.is_floating_point():
            raise ValueError("mixup needs real-valued inputs; symbols cannot be mixed")
        drawn = self.drawn()
        share = max(drawn, 1 - drawn)
        partner = torch.randperm(len(batch.x), device=batch.x.device)
        return self.mixed(batch, share * batch.x + (1 - share) * batch.x[partner], partner, share)

    def drawn(self) -> float:
        """A share of ``Beta(alpha, alpha)``."""
        return float(Beta(self.alpha, self.alpha).sample())

    def mixed(self, batch: Batch, x: Tensor, partner: Tensor, share: float) -> Batch:
        """The batch with mixed inputs, its labels mixed in the same proportion."""
        y = as_probabilities(batch.y, self.classes, batch.x)
        shares = torch.full((len(y),), share, dtype=y.dtype, device=y.device)
        return batch._replace(
            x=x, y=share * y + (1 - share) * y[partner], mixture=Mixture(batch.x, partner, shares)
        )


class CutMix(Mixup):
    """A rectangle of each image is another's, and labels count by area. Yun et al., arXiv 1905.04899.

    Args:
        alpha: above 0; the share of the image's own is drawn from ``Beta(alpha, alpha)``.
    """

    def transform(self, batch: Batch) -> Batch:
        """See the class.

        Raises:
            ValueError: if the inputs are not images.
        """
        if batch.x.ndim != 4:
            raise ValueError("cutmix reads images; choose a dataset of images")
        cut = (1 - self.drawn()) ** 0.5
        (top, bottom), (left, right) = (self._span(side, cut) for side in batch.x.shape[2:])
        partner = torch.randperm(len(batch.x), device=batch.x.device)
        x = batch.x.clone()
        x[:, :, top:bottom, left:right] = batch.x[partner, :, top:bottom, left:right]
        height, width = batch.x.shape[2:]
        return self.mixed(batch, x, partner, 1 - (bottom - top) * (right - left) / (height * width))

    @staticmethod
    def _span(side: int, cut: float) -> tuple[int, int]:
        centre = int(torch.randint(side, ()))
        half = int(side * cut) // 2
        return max(0, centre - half), min(side, centre + half)
