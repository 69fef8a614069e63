"""Compact classes around centres that lie far apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.models.head import linear_head
from regrun.regularizers.base import Regularizer, as_loss
from regrun.regularizers.targets import as_indices


class ClassCentres(Regularizer):
    """Adds two terms on the penultimate features, with a learnt centre for each class.

    ``compactness`` times the mean over classes of the mean squared distance of the batch's features from
    their class's centre: each class weighs the same, however rare. ``separation`` times minus the smallest
    angle between two centres, less their mean. The centres have their own gradient descent with
    ``centre_lr``. A sample whose label is probabilities is one of the likeliest class. Liu et al., *Inducing
    Neural Collapse in Deep Long-tailed Learning*, arXiv 2302.12453.

    Args:
        compactness: weight of the compactness term, at least 0.
        separation: weight of the separation term, at least 0.
        centre_lr: above 0.
        init: standard deviation of the initial centres.
    """

    centres: Tensor

    couples = True

    def __init__(
        self,
        compactness: float = 0.01,
        separation: float = 0.1,
        centre_lr: float = 0.5,
        init: float = 0.1,
    ) -> None:
        super().__init__()
        weights, others = (compactness, separation), (centre_lr, init)
        if not (all(0 <= v < math.inf for v in weights) and all(0 < v < math.inf for v in others)):
            raise ValueError(
                "compactness and separation must be at least 0, centre_lr and init above 0, "
                f"got {compactness}, {separation}, {centre_lr} and {init}"
            )
        self.compactness = compactness
        self.separation = separation
        self.centre_lr = centre_lr
        self.init = init
        self._leaf: Tensor | None = None

    def attach(self, task: Task) -> None:
        """Draw the centres, as wide as the head reads and in its format.

        Raises:
            ValueError: if there is a single class, whose centre lies apart from no other.
        """
        if task.classes < 2:
            raise ValueError(f"class_centres needs at least 2 classes, got {task.classes}")
        weight = linear_head(task.model).weight
        drawn = torch.randn(task.classes, weight.shape[1], dtype=weight.dtype)
        self.register_buffer("centres", self.init * drawn)

    def penalty(self, step: Step) -> Tensor:
        """See the class.

        Raises:
            ValueError: if the model returns no features.
        """
        features, y = step.output.features, as_indices(step.batch.y)
        if features is None:
            raise ValueError("class_centres needs penultimate features, which this model does not return")
        self._leaf = centres = self.centres.detach().clone().requires_grad_()
        counts = torch.bincount(y, minlength=len(centres)).to(features)
        squares = (features - centres[y]).square().sum(1)
        compact = (squares / counts[y]).sum() / len(centres)
        apart = smallest_angle(widened(centres))  # cosines near 1 tell little in half precision
        return as_loss(self.compactness * compact - self.separation * apart, step.output.logits)

    @torch.no_grad()
    def edit_gradients(self, task: Task) -> None:
        """Move the centres."""
        if self._leaf is not None and self._leaf.grad is not None:
            self.centres -= self.centre_lr * self._leaf.grad
            self._leaf = None


def smallest_angle(centres: Tensor) -> Tensor:
    """The smallest angle between two rows, less their mean, in radians.

    Raises:
        ValueError: if there is one row alone.
    """
    if len(centres) < 2:
        raise ValueError(f"the angle between centres needs at least 2 of them, got {len(centres)}")
    away = centres - centres.mean(0)
    unit = away / away.norm(dim=1, keepdim=True).clamp_min(1e-12)
    cosines = unit @ unit.T
    others = cosines - 2 * torch.eye(len(cosines), dtype=cosines.dtype, device=cosines.device)
    return others.amax().clamp(-1 + 1e-6, 1 - 1e-6).arccos()
