"""Labels and probabilities, brought to one form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def as_probabilities(y: Tensor, classes: int, like: Tensor) -> Tensor:
    """Class indices ``(batch,)`` as one-hot rows ``(batch, classes)``; probabilities stay as they are.

    Args:
        y: either.
        classes: number of classes.
        like: whose format the rows have: logits, or inputs. Of symbols it is torch's default format, which
            the trainer sets to the weights'.
    """
    if y.is_floating_point():
        return y
    return F.one_hot(y, classes).to(like.dtype if like.is_floating_point() else torch.get_default_dtype())


def as_indices(y: Tensor) -> Tensor:
    """Class indices ``(batch,)``; of probabilities the likeliest class's."""
    return y.argmax(-1) if y.is_floating_point() else y
