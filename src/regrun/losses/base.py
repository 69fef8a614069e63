"""The contract of a classification loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.inputs import is_under_vmap
from regrun.contracts.probability_map import ProbabilityMap
from regrun.data.criteria import check_classes
from regrun.probability_maps.softmax import Softmax


class ClassificationLoss(nn.Module, ABC):
    """A function of logits and targets, with a value for each sample.

    Attributes:
        takes_probabilities: whether targets may be probabilities, besides class indices.
        probability_map: map from this loss's logits to probabilities; ``None`` if there is none.
    """

    takes_probabilities = True
    probability_map: ProbabilityMap | None

    def __init__(self) -> None:
        super().__init__()
        self.probability_map = Softmax()

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of each sample, ``(batch,)``.

        Args:
            logits: ``(batch, classes)``.
            y: class indices, ``(batch,)`` of int64, or probabilities, ``(batch, classes)``.

        Raises:
            ValueError: if the targets are not of a kind that the loss takes, or a class does not exist.
        """
        check_targets(logits, y, type(self).__name__, self.takes_probabilities)
        return self.each(logits, y)

    @abstractmethod
    def each(self, logits: Tensor, y: Tensor) -> Tensor:
        """``forward`` of targets that have been checked."""


def check_targets(logits: Tensor, y: Tensor, name: str, takes_probabilities: bool) -> None:
    """Raise ``ValueError`` unless targets fit the logits and the loss of this name.

    That classes exist is looked at on the CPU alone, because looking would stall a GPU at every step, and not
    under ``vmap``, which cannot look.
    """
    if y.is_floating_point():
        if not takes_probabilities:
            raise ValueError(
                f"{name} takes class indices, and these targets are probabilities; leave out what mixes "
                "labels (label_smoothing, mixup, cutmix)"
            )
        if y.shape != logits.shape:
            raise ValueError(f"targets of shape {tuple(y.shape)} do not fit logits of {tuple(logits.shape)}")
        return
    if y.shape != logits.shape[:-1]:
        raise ValueError(
            f"class indices of shape {tuple(y.shape)} do not fit logits of {tuple(logits.shape)}"
        )
    if y.device.type == "cpu" and not is_under_vmap(y):
        check_classes(y, logits.shape[-1])


def expected(scores: Tensor, y: Tensor) -> Tensor:
    """The targets' mean of scores: the entry of the class ``y``, or ``sum_k y_k s_k``; ``(batch,)``.

    What has no share in a target does not count, be it infinite.
    """
    if y.is_floating_point():
        return (y.to(scores.dtype) * scores.masked_fill(y == 0, 0)).sum(-1)
    return scores.gather(-1, y.unsqueeze(-1)).squeeze(-1)


def as_probabilities(y: Tensor, logits: Tensor) -> Tensor:
    """Targets as rows of probabilities in the logits' format."""
    return (y if y.is_floating_point() else F.one_hot(y, logits.shape[-1])).to(logits.dtype)
