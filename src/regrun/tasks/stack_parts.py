"""What a stack of tasks is made of: one objective for all, stacked tensors, and each task's view of them."""

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
    """The objective of a task as a module's output, for ``functional_call``."""

    def __init__(self, task: Supervised, values: dict[tuple[str, str], list[float]]) -> None:
        super().__init__()
        self.task = task
        self.places = {(name, attribute): task.get_submodule(name) for name, attribute in values}

    def forward(self, batch: Batch, number: int) -> Tensor:
        return self.task.objective(batch, number)

    @contextmanager
    def given(self, varying: dict[tuple[str, str], Tensor]) -> Iterator[None]:
        """Set the values that differ between tasks, then the first task's own again."""
        with ExitStack() as stack:
            for (name, attribute), value in varying.items():
                module = self.places[name, attribute]
                stack.callback(setattr, module, attribute, getattr(module, attribute))
                setattr(module, attribute, value)
            yield


class Editor(nn.Module):
    """A regularizer's edit of gradients as a module's call, for ``functional_call``."""

    def __init__(self, task: Supervised, regularizer: Regularizer) -> None:
        super().__init__()
        self.task = task
        self.act = regularizer.edit_gradients

    def forward(self, gradients: Named) -> Tensor:
        """Edit these, or the weights, in place."""
        for name, weight in self.task.named_parameters():
            if name in gradients:
                weight.grad = gradients[name]
        self.act(self.task)
        return torch.zeros(())


class OptimizerView:
    """The optimizer as one of the stacked tasks sees it: the settings are shared, the weights its own."""

    def __init__(self, task: Supervised, groups: Sequence[dict[str, Any]]) -> None:
        self.groups = groups
        names = [group["param_names"] for group in groups]
        own = dict(task.named_parameters())
        self.weights = [[own[name] for name in part] for part in names]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """As of a torch optimizer; not to be written to."""
        return [{**group, "params": own} for group, own in zip(self.groups, self.weights, strict=True)]


def stack_views(named: Sequence[dict[str, Any]]) -> Named:
    """Stack tensors by name, and make those that were given views of the stacks.

    Args:
        named: the parameters or buffers of each task, of the same names and shapes.
    """
    stacks: Named = {}
    for name, first in named[0].items():
        stacked = torch.stack([own[name].detach() for own in named])
        for k, own in enumerate(named):
            own[name].data = stacked[k]
        stacks[name] = stacked.requires_grad_(first.requires_grad)
    return stacks


def stack_batches(batches: Sequence[Batch]) -> Batch:
    """The batches of all tasks as one, whose tensors have a first dimension for them."""
    return Batch(
        torch.stack([batch.x for batch in batches]),
        torch.stack([batch.y for batch in batches]),
        torch.stack([batch.index for batch in batches]),
    )
