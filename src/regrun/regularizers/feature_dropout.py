"""Penultimate features compressed by leaving some out: dropout and nested dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.output import Output, as_output
from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer


class MaskedFeatures(nn.Module):
    """A model with a mask on some penultimate features before its last linear layer.

    Args:
        model: has a linear ``head``, and returns its input as ``features``.
        mask: acts on features in training.
    """

    def __init__(self, model: nn.Module, mask: nn.Module) -> None:
        super().__init__()
        head = getattr(model, "head", None)
        if not isinstance(head, nn.Linear):
            raise ValueError(
                f"{type(model).__name__} has no linear head whose features could be masked; "
                "choose a model such as mlp or fast_resnet"
            )
        self.model = model
        self.mask = mask

    @property
    def head(self) -> nn.Module:
        """The last linear layer."""
        head: nn.Module = self.model.head  # type: ignore[assignment]
        return head

    def forward(self, x: Tensor) -> Output:
        """Masked at random in training, whole in evaluation."""
        output = as_output(self.model(x))
        if not self.training:
            return output
        features = self.mask(output.features)
        return Output(self.head(features), features)


class FeatureDropout(Regularizer):
    """Dropout of the penultimate features, which compresses them (Chen et al., arXiv 2206.13140).

    Args:
        probability: probability of dropping a feature, in ``[0, 1)``; the others are scaled up.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"probability must lie in [0, 1), got {probability}")
        self.probability = probability

    def attach(self, task: Task) -> None:
        """Put the mask before the head."""
        task.model = MaskedFeatures(task.model, nn.Dropout(self.probability))


class NestedMask(nn.Module):
    """Keeps the first ``k`` features, with ``k`` drawn for each batch."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, features: Tensor) -> Tensor:
        k = torch.arange(1, features.shape[1] + 1, device=features.device, dtype=torch.float64)
        weights = ((1 - k**2) / (2 * self.spread**2)).exp()  # 1 for k = 1, be the spread ever so small
        return first_only(features, 1 + torch.multinomial(weights, 1))


class NestedDropout(Regularizer):
    """Keeps the first ``k`` penultimate features, ``p(k)`` proportional to ``exp(-k^2 / (2 spread^2))``.

    Features become ordered by importance; nothing is scaled, which would undo that. Rippel et al., arXiv
    1402.0915; Chen et al., arXiv 2206.13140. One ``k`` is drawn for each batch.

    Args:
        spread: standard deviation of the half-normal distribution of ``k``, above 0.
    """

    def __init__(self, spread: float = 10.0) -> None:
        super().__init__()
        if not spread > 0:
            raise ValueError(f"spread must be above 0, got {spread}")
        self.spread = spread

    def attach(self, task: Task) -> None:
        """Put the mask before the head."""
        task.model = MaskedFeatures(task.model, NestedMask(self.spread))


def first_only(features: Tensor, count: Tensor | int) -> Tensor:
    """Zero all features but the first ``count``."""
    return features * (torch.arange(features.shape[1], device=features.device) < count)
