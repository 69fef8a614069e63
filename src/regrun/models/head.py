"""Where a model ends."""

from __future__ import annotations

from torch import nn


def linear_head(model: nn.Module) -> nn.Linear:
    """The last linear layer of a model, or of the first model within a pair of them.

    Raises:
        ValueError: if there is none.
    """
    inner = model
    while isinstance(within := getattr(inner, "model", None), nn.Module):
        inner = within
    head = getattr(inner, "head", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"{type(inner).__name__} has no linear head; choose another model")
    return head
