"""Parts of a stack of tasks: a shared objective, stacked tensors, and each task's view of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from regrun.contracts.batch import Batch
from regrun.regularizers.base import Regularizer
from regrun.tasks.supervised import Supervised

Named = dict[str, Tensor]


class Objective(nn.Module):
    """The objective of a task as a module, for ``functional_call``."""

    def __init__(self, task: Supervised, values: dict[tuple[str, str], list[float]]) -> None:
        super().__init__()
        self.task = task
        self.places = {(name, attribute): task.get_submodule(name) for name, attribute in values}

    def forward(self, batch: Batch, number: int) -> Tensor:
        return self.task.objective(batch, number)

    @contextmanager
    def given(self, varying: dict[tuple[str, str], Tensor]) -> Iterator[None]:
        """Set the values that differ between tasks, then restore the first task's."""
        with ExitStack() as stack:
            for (name, attribute), value in varying.items():
                module = self.places[name, attribute]
                stack.callback(setattr, module, attribute, getattr(module, attribute))
                setattr(module, attribute, value)
            yield


class Editor(nn.Module):
    """A regularizer's gradient edit as a module, for ``functional_call``."""

    def __init__(self, task: Supervised, regularizer: Regularizer) -> None:
        super().__init__()
        self.task = task
        self.act = regularizer.edit_gradients

    def forward(self, gradients: Named) -> Tensor:
        """Edit gradients, or weights, in place."""
        for name, weight in self.task.named_parameters():
            if name in gradients:
                weight.grad = gradients[name]
        self.act(self.task)
        return torch.zeros(())


class OptimizerView:
    """The optimizer as one stacked task sees it: shared settings, own weights."""

    def __init__(self, task: Supervised, groups: Sequence[dict[str, Any]]) -> None:
        self.groups = groups
        names = [group["param_names"] for group in groups]
        own = dict(task.named_parameters())
        self.weights = [[own[name] for name in part] for part in names]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimizer's parameter groups, read-only."""
        return [{**group, "params": own} for group, own in zip(self.groups, self.weights, strict=True)]


def stack_views(named: Sequence[dict[str, Any]]) -> Named:
    """Stack tensors by name, and turn the originals into views of the stacks.

    Args:
        named: parameters or buffers of each task, with equal names and shapes.
    """
    stacks: Named = {}
    for name, first in named[0].items():
        stacked = torch.stack([own[name].detach() for own in named])
        for k, own in enumerate(named):
            own[name].data = stacked[k]
        stacks[name] = stacked.requires_grad_(first.requires_grad)
    return stacks


def stack_batches(batches: Sequence[Batch]) -> Batch:
    """Stack the tasks' batches along a new first dimension."""
    return Batch(
        torch.stack([batch.x for batch in batches]),
        torch.stack([batch.y for batch in batches]),
        torch.stack([batch.index for batch in batches]),
    )
