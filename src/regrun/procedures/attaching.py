"""Checks before training that all parts of a task fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

from regrun.contracts.batch import Batch
from regrun.contracts.output import as_output
from regrun.data.generators import untouched_generators
from regrun.errors import one_line
from regrun.probes.base import Probe, ProbeError, Trial
from regrun.tasks.supervised import Supervised


@torch.no_grad()
def check_parts(task: Supervised) -> None:
    """Pass two samples through the parts of a task, to check that each accepts its input.

    Raises:
        ValueError: for the first part that fails, with its input.
    """
    x, y = task.splits.train.x[:2], task.splits.train.y[:2]
    training = task.model.training
    task.model.eval()
    try:
        with untouched_generators():
            for augmentation in task.augmentations:
                with taking(f"the augmentation {type(augmentation).__name__}", x):
                    x = augmentation(x)
            with taking(f"the model {type(task.model).__name__}", x):
                output = as_output(task.model(task.inputs.prepare(x)))
            with taking(
                f"targets of shape {tuple(y.shape)}", output.logits, "cannot be compared with outputs"
            ):
                task.criterion.score(output, Batch(x, y, torch.arange(len(x))))
            with naming_the_optimizer():
                task.make_optimizer((n, p) for n, p in task.named_parameters() if p.requires_grad)
    finally:
        task.model.train(training)


@contextmanager
def taking(part: str, given: torch.Tensor, words: str = "cannot take inputs") -> Iterator[None]:
    """Report errors within the block as a part that rejects its input."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        shape = f"of shape {tuple(given.shape)} and {str(given.dtype).removeprefix('torch.')}"
        raise ValueError(f"{part} {words} {shape}: {one_line(error)}") from error


@contextmanager
def naming_the_optimizer() -> Iterator[None]:
    """Report errors within the block as wrong settings of the optimizer."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"optimizer: {one_line(error)}") from error


def check_splits(task: Supervised) -> None:
    """Raise ``ValueError`` if a regularizer or the optimizer needs whole weights."""
    names = [name for name, part in task.regularizers.items() if not part.splits]
    optimizer = task.make_optimizer(task.named_parameters())
    if not getattr(optimizer, "splits", type(optimizer).__module__.startswith("torch.optim")):
        names.append(type(optimizer).__name__)
    if names:
        raise ValueError(
            f"{', '.join(names)}: not with weights that are split over processes; trainer=ddp keeps them "
            "whole"
        )


def attach_probes(task: Supervised, precision: str, skip: bool, splits: bool = False) -> list[str]:
    """Attach the probes to the task.

    Args:
        task: the task that holds them.
        precision: precision of training, in Lightning's notation.
        skip: whether to leave out probes that cannot measure it.
        splits: whether the weights will be sharded over processes.

    Returns:
        The reason for each probe that was left out.

    Raises:
        ProbeError: if a probe cannot measure the task, and ``skip`` is false.
    """
    reasons = []
    trial: Trial | None = None
    for name, probe in cast(list[tuple[str, Probe]], list(task.probes.items())):
        if type(probe).attach is Probe.attach and not splits:
            continue
        trial = trial or trial_of(task, precision)
        try:
            if splits and not probe.splits:
                raise ProbeError("needs whole weights, which trainer=ddp keeps")
            probe.attach(task, trial)
        except ProbeError as error:
            if not skip:
                raise ProbeError(f"probe {name}: {error} (probe_errors=skip leaves it out)") from error
            reasons.append(f"probe {name} left out: {error}")
            del task.probes[name]
            task.probing.remove(probe)
    return reasons


@torch.no_grad()
def trial_of(task: Supervised, precision: str) -> Trial:
    """The model's output for two training samples."""
    training = task.model.training
    task.model.eval()
    with untouched_generators():
        output = as_output(task.model(task.inputs.prepare(task.splits.train.x[:2])))
    task.model.train(training)
    return Trial(output, precision)
