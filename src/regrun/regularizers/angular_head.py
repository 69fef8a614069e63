"""Angles in place of inner products in the last layer."""

from __future__ import annotations

from torch import nn

from regrun.contracts.task import Task
from regrun.models.angular_heads import CosineHead, WrappedCauchyHead
from regrun.models.head import head_owner
from regrun.regularizers.base import Regularizer

HEADS: dict[str, type[CosineHead]] = {"cosine": CosineHead, "wrapped_cauchy": WrappedCauchyHead}


class AngularHead(Regularizer):
    """Puts an angular layer in the place of the model's last linear one.

    Args:
        kind: ``cosine``, or ``wrapped_cauchy`` (Han, arXiv 2305.18732).
        scale: scale of the logits, ``None`` to train it.
    """

    def __init__(self, kind: str = "cosine", scale: float | None = None) -> None:
        super().__init__()
        if kind not in HEADS:
            raise ValueError(f"kind must be one of {', '.join(HEADS)}, got {kind!r}")
        HEADS[kind](1, 1, scale)  # raises if the scale is invalid
        self.kind = kind
        self.scale = scale

    def attach(self, task: Task) -> None:
        """Replace the head."""
        owner = head_owner(task.model)
        old = owner.head
        assert isinstance(old, nn.Linear)
        owner.head = HEADS[self.kind](old.in_features, old.out_features, self.scale).to(old.weight)
