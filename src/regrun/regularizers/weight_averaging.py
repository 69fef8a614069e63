"""A running average of the weights, used in evaluations."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer


class Averaged(nn.Module):
    """Trains a model and evaluates the average of its weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor | Output:
        result: Tensor | Output = (self.model if self.training else self.average)(x)
        return result

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the average, of running statistics too, towards the model; counters are copied."""
        for average, value in zip(tensors_of(self.average), tensors_of(self.model), strict=True):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)


def tensors_of(model: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    return chain(model.parameters(), model.buffers())


class WeightAveraging(Regularizer):
    """Evaluates an exponential moving average of the weights, as the mean teacher of ELR+ does.

    Tarvainen & Valpola, arXiv 1703.01780. The decay at step ``s`` is at most ``(s + 1) / (s + 10)``, so that
    the first weights are soon forgotten.

    Args:
        decay: decay of the average per step, in ``[0, 1)``.
    """

    def __init__(self, decay: float = 0.997) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    steps: Tensor

    def attach(self, task: Task) -> None:
        """Give the model its average."""
        task.model = Averaged(task.model)

    def project(self, task: Task) -> None:
        assert isinstance(task.model, Averaged)
        steps = int(self.steps)
        task.model.follow(min(self.decay, (steps + 1) / (steps + 10)))
        self.steps += 1
