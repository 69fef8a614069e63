"""Labels and probabilities, brought to one form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def as_probabilities(y: Tensor, classes: int) -> Tensor:
    """Class indices ``(batch,)`` as one-hot rows ``(batch, classes)``; probabilities stay as they are."""
    return y if y.is_floating_point() else F.one_hot(y, classes).to(torch.get_default_dtype())


def as_indices(y: Tensor) -> Tensor:
    """Class indices ``(batch,)``; of probabilities the likeliest class's."""
    return y.argmax(-1) if y.is_floating_point() else y
