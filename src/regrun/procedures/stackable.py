"""Checks whether tasks can be trained as one stacked model, and finds the values that differ."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop

from regrun.data.generators import untouched_generators
from regrun.data.stream import BatchStream
from regrun.errors import one_line
from regrun.tasks.stack_parts import stack_batches
from regrun.tasks.stacked import Stacked
from regrun.tasks.supervised import Supervised

ELEMENTWISE = (SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop)
ROUNDING = 1e-2  # relative to the largest: half-precision losses round differently in another order


class NotStackableError(ValueError):
    """Raised if runs cannot be trained as one stacked model; the message names the part."""


def optimizer_key(task: Supervised) -> str:
    """Group neighbouring tasks whose optimizers have equal settings.

    Raises:
        NotStackableError: if the optimizer is not elementwise.
    """
    optimizer = task.make_optimizer([(n, p) for n, p in task.named_parameters() if p.requires_grad])
    if type(optimizer) not in ELEMENTWISE:
        raise NotStackableError(f"{type(optimizer).__name__} does not update each weight by itself")
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return json.dumps([type(optimizer).__name__, groups], sort_keys=True, default=str)


def check_alike(tasks: Sequence[Supervised]) -> None:
    """Raise ``NotStackableError`` unless all tasks have the same shapes."""
    first, *others = [sizes_of(task) for task in tasks]
    for sizes in others:
        for name in first | sizes:
            if sizes.get(name) != first.get(name):
                raise NotStackableError(f"{name} has {sizes.get(name)}, and {first.get(name)} in another run")


def sizes_of(task: Supervised) -> dict[str, Any]:
    """The shapes and settings that all tasks must share."""
    train = task.splits.train
    shapes = {name: tuple(w.shape) for name, w in [*task.named_parameters(), *task.named_buffers()]}
    return {"the train split": (tuple(train.x.shape), tuple(train.y.shape)), **shapes}


def differing_values(tasks: Sequence[Supervised]) -> dict[tuple[str, str], list[float]]:
    """The float attributes of modules that differ between tasks, with each task's value.

    Raises:
        NotStackableError: if an attribute of another type differs.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for name, module in parts_of(tasks[0]).items():
        modules = [task.get_submodule(name) for task in tasks]
        for attribute, value in vars(module).items():
            values: list[Any] = [vars(other).get(attribute) for other in modules]
            if not isinstance(value, bool | int | float | str) or all(v == value for v in values):
                continue
            if not all(type(v) is float for v in values):
                raise NotStackableError(f"{name}.{attribute} differs: {value!r} and others")
            found[name, attribute] = values
    return found


def check_stack(tasks: Sequence[Supervised], stacked: Stacked) -> None:
    """Compare the stack's first step with the same step of its first and last task alone.

    Side effects of the objective (on buffers and attributes) are compared, too. The tasks are left unchanged.

    Raises:
        NotStackableError: if the step cannot be stacked, or differs; names the part.
    """
    batches = [next(iter(BatchStream(task.splits.train, task.batch_size, task.seed))) for task in tasks]
    before = [buffers_of(task) for task in tasks]
    stacked.stack()
    with untouched_generators(), quiet_vmap():
        try:
            losses = stacked.objectives(stack_batches(batches), 0)
            gradients = torch.autograd.grad(losses.sum(), list(stacked.trained().values()))
        except Exception as error:
            raise NotStackableError(reason(error, tasks[0])) from error
        after = [buffers_of(task) for task in tasks]
        for k in {0, len(tasks) - 1}:
            restore(tasks[k], before[k])
            attributes = attributes_of(tasks[k])
            loss = tasks[k].objective(batches[k], 0)
            weights = [p for p in tasks[k].parameters() if p.requires_grad]
            pairs = [(loss, losses[k])]
            pairs += zip(torch.autograd.grad(loss, weights), (found[k] for found in gradients), strict=True)
            pairs += zip(buffers_of(tasks[k]).values(), after[k].values(), strict=True)
            if not all(map(agree, *zip(*pairs, strict=True))):
                raise NotStackableError("a first step of the stack differs from the same step alone")
            now = attributes_of(tasks[k])
            if changed := [name for name, value in attributes.items() if now.get(name, now) is not value]:
                raise NotStackableError(f"{changed[0]} is changed by each step")
        found = dict(zip(stacked.trained(), gradients, strict=True))
        for number in range(len(tasks[0].editing)):
            if edits_together(tasks, stacked, found, number):
                stacked.edited_together.add(number)
    for task, buffers in zip(tasks, before, strict=True):
        restore(task, buffers)


def edits_together(
    tasks: Sequence[Supervised], stacked: Stacked, gradients: Mapping[str, Tensor], number: int
) -> bool:
    """Whether a regularizer can edit the gradients of all tasks at once, with the same result.

    Args:
        tasks: tasks whose weights are views of the stack's.
        stacked: the stack.
        gradients: stacked gradients by name.
        number: index of the regularizer among those that edit gradients.
    """
    ours = {name: weight.detach().clone() for name, weight in stacked.trained().items()}
    edited = {name: gradient.clone() for name, gradient in gradients.items()}
    try:
        stacked.edit_together(number, ours, edited)
        for k in {0, len(tasks) - 1}:
            weights = dict(tasks[k].named_parameters())
            before = {name: weights[name].detach().clone() for name in gradients}
            for name, gradient in gradients.items():
                weights[name].grad = gradient[k].clone()
            tasks[k].editing[number].edit_gradients(tasks[k])
            same = all(
                agree(value, other[name][k])
                for name in gradients
                for value, other in [(weights[name], ours), (weights[name].grad, edited)]
                if value is not None
            )
            for name, value in before.items():
                weights[name].data.copy_(value)
                weights[name].grad = None
            if not same:
                return False
    except Exception:  # whatever it asks for that a stack has not
        return False
    return True


@contextmanager
def quiet_vmap() -> Iterator[None]:
    """Silence vmap's advice on operations without a batching rule."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def agree(alone: Tensor, stacked: Tensor) -> bool:
    """Whether two tensors are equal up to rounding; non-finite entries count as equal to anything."""
    alone, stacked = alone.detach().double(), stacked.detach().double()
    alone, stacked = alone.nan_to_num(0, 0, 0), stacked.nan_to_num(0, 0, 0)
    return bool((alone - stacked).abs().max() <= ROUNDING * alone.abs().max() + torch.finfo().tiny)


def buffers_of(task: Supervised) -> dict[str, Tensor]:
    """Copies of the buffers."""
    return {name: buffer.detach().clone() for name, buffer in task.named_buffers()}


def restore(task: Supervised, buffers: Mapping[str, Tensor]) -> None:
    """Restore the buffers."""
    for name, buffer in task.named_buffers():
        buffer.copy_(buffers[name])


def attributes_of(task: Supervised) -> dict[str, object]:
    """The attributes of a task's parts."""
    return {
        f"{name}.{attribute}": value
        for name, module in parts_of(task).items()
        for attribute, value in vars(module).items()
    }


def parts_of(task: Supervised) -> dict[str, nn.Module]:
    """The modules of the objective by name."""
    wanted = ("model", "regularizers.", "augmentations.")
    return {name: module for name, module in task.named_modules() if name.startswith(wanted)}


def reason(error: Exception, task: Supervised) -> str:
    """The reason why a step cannot be stacked: the innermost part that failed, and the error."""
    names = {id(module): name for name, module in parts_of(task).items()}
    where = ""
    trace = error.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if id(owner) in names:
            where = f"{names[id(owner)]} ({type(owner).__name__}) "
        trace = trace.tb_next
    text = one_line(error)
    return where + ("draws random numbers" if "random" in text else f"cannot be stacked: {text}")
