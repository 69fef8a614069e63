"""The surrounding context of a computation: ``torch.func`` transforms and autocasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


def transforming() -> bool:
    """Whether ``torch.func`` or ``vmap`` is at work, which takes no function with a gradient of its own."""
    return _active()


def same_precision(device: torch.device) -> Callable[[], torch.autocast]:
    """Makes contexts that autocast as now, for use in a later backward pass."""
    kind = device.type
    return partial(
        torch.autocast, kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind)
    )
