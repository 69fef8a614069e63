"""Where a model ends."""

from __future__ import annotations

from torch import nn


def linear_head(model: nn.Module) -> nn.Linear:
    """The last linear layer of a model, or of the first model within a pair of them.

    Raises:
        ValueError: if there is none.
    """
    head = head_owner(model).head
    assert isinstance(head, nn.Linear)
    return head


def head_owner(model: nn.Module) -> nn.Module:
    """The module whose ``head`` is the last linear layer.

    Raises:
        ValueError: if there is none.
    """
    inner = model
    while isinstance(within := getattr(inner, "model", None), nn.Module):
        inner = within
    if not isinstance(getattr(inner, "head", None), nn.Linear):
        raise ValueError(f"{type(inner).__name__} has no linear head; choose another model")
    return inner
