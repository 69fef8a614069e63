"""Weight norms that are fixed once training is under way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.norm_loss import LAYERS

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)


class LogitAttenuation(Regularizer):
    """Trains freely for some steps, then with the norm of each layer's weights as it is (LAWN).

    From then on the gradient of a weight tensor is projected off the weights before the optimizer sees it,
    and the weights are scaled back to their norm after each step. Bounded weights bound the logits, so that
    gradients stay. Layers after the last normalization layer count, all if there is none; biases are free.
    When the norms are fixed the optimizer's memory of gradients is forgotten. A weight tensor that is 0 then
    stays so: its norm is. Dey et al., arXiv 2108.05839.

    Args:
        free_steps: before norms are fixed.
    """

    done: Tensor
    norms: Tensor

    def __init__(self, free_steps: int = 100) -> None:
        super().__init__()
        if free_steps < 0:
            raise ValueError(f"free_steps must be at least 0, got {free_steps}")
        self.free_steps = free_steps
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def attach(self, task: Task) -> None:
        """Count the layers.

        Raises:
            ValueError: if there is none, or if the norm of one would be fixed at its initial 0.
        """
        weights = constrained(task.model)
        if not weights:
            raise ValueError("lawn fixes norms of layers after the last normalization, and there is none")
        if self.free_steps == 0 and not all(bool(weight.any()) for weight in weights):
            raise ValueError(
                "lawn would fix the norm of weights that are all 0, which could not be trained then; "
                "set free_steps to at least 1"
            )
        self.register_buffer("norms", torch.zeros(len(weights), dtype=weights[0].dtype))

    @torch.no_grad()
    def edit_gradients(self, task: Task) -> None:
        number = int(self.done)
        self.done += 1
        if number < self.free_steps:
            return
        weights = constrained(task.model)
        if number == self.free_steps:
            self.norms.copy_(torch.stack([weight.norm() for weight in weights]))
            task.optimizer.state.clear()
        for weight in weights:
            if weight.grad is not None:
                square = weight.square().sum().clamp_min(torch.finfo(weight.dtype).tiny)
                weight.grad -= (weight.grad * weight).sum() / square * weight

    @torch.no_grad()
    def project(self, task: Task) -> None:
        if int(self.done) > self.free_steps:
            for weight, norm in zip(constrained(task.model), self.norms, strict=True):
                weight.mul_(norm / weight.norm().clamp_min(torch.finfo(weight.dtype).tiny))


def constrained(model: nn.Module) -> list[Tensor]:
    """The weights of the convolutions and linear layers after the last normalization layer."""
    found: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, NORMALIZATIONS):
            found = []
        elif isinstance(module, LAYERS):
            found.append(module.weight)
    return found
