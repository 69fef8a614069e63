"""⊥Grad: gradients orthogonal to the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.shards import is_split, over_parts, own_part

TINY = 1e-30  # the official code's guard against division by zero


class PerpGrad(Regularizer):
    """Removes from each tensor's gradient its component along the weights, before the optimizer.

    ``g <- g - (w.g / (w.w + 1e-30)) w`` per parameter tensor, flattened. Once the training data are
    fitted, the gradient of softmax cross-entropy mostly scales the weights up, which changes no
    prediction; without that direction the network groks at once. Prieto et al., *Grokking at the Edge of
    Numerical Stability*, arXiv 2501.04697, where it is called ⊥Grad, and ``OrthoGrad`` in the code.

    Args:
        rescale: whether the projected gradient is given the norm of the original one, as the official
            code does (the paper's formula leaves it out). Adam-like optimizers are nearly blind to it.
    """

    splits = True

    def __init__(self, rescale: bool = True) -> None:
        super().__init__()
        self.rescale = rescale

    @torch.no_grad()
    def edit_gradients(self, task: Task) -> None:
        for weight in task.model.parameters():
            if weight.grad is not None:
                own_part(weight.grad).copy_(project_out(weight.grad, weight, self.rescale))


def project_out(gradient: Tensor, weight: Tensor, rescale: bool = True) -> Tensor:
    """The gradient without its component along the weight.

    Args:
        gradient: any shape; for sharded weights, the result is this process's shard.
        weight: the same shape.
        rescale: whether the result has the norm of ``gradient``.
    """
    part = own_part(gradient)
    w, g = own_part(weight).flatten(), part.flatten()
    share = over_parts(torch.dot(w, g), weight) / (over_parts(torch.dot(w, w), weight) + TINY)
    perpendicular = g - share * w
    if rescale:
        scale = norm(g, weight) / (norm(perpendicular, weight) + TINY)
        perpendicular = perpendicular * scale.clamp_max(torch.finfo(scale.dtype).max)  # nothing stays nothing
    return perpendicular.view_as(part)


def norm(vector: Tensor, of: Tensor) -> Tensor:
    """The norm of a vector, which is sharded if ``of`` is."""
    return over_parts(vector.square().sum(), of).sqrt() if is_split(of) else vector.norm()
