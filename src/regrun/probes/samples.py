"""A base for probes that evaluate the first samples of a split again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.inputs import Tokens
from regrun.contracts.output import Output, as_output
from regrun.contracts.samples import Samples
from regrun.contracts.task import Task
from regrun.data.stream import spread
from regrun.errors import nearest, one_line
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.probes.base import Probe, ProbeError, Trial


@dataclass(frozen=True)
class Look:
    """Samples and the model's output for them.

    Attributes:
        batch: prepared for the model.
        output: output of the model in evaluation mode.
        clean: labels before any noise.
    """

    batch: Batch
    output: Output
    clean: Tensor


class SampleProbe(Probe):
    """Looks at some samples of a split, always the same.

    Args:
        samples: number of samples, all if there are fewer.
        every: evaluations from one measurement to the next.
        split: ``train``, ``test`` or ``validation``.
    """

    def __init__(self, samples: int, every: int = 1, split: str = "train") -> None:
        super().__init__()
        if samples < 2 or every < 1:
            raise ValueError(f"samples must be at least 2 and every at least 1, got {samples} and {every}")
        self.samples = samples
        self.every = every
        self.split = split

    def check_split(self, task: Task) -> None:
        """Raise ``ProbeError`` if the dataset has no such split."""
        names = task.splits_on_device().named
        if self.split not in names:
            raise ProbeError(f"there is no split {self.split!r}{nearest(self.split, names)}")

    def batch(self, task: Task, most: int | None = None) -> tuple[Batch, Tensor]:
        """The samples, as the model reads them, and their labels before any noise; at most ``most``."""
        samples = task.splits_on_device().named[self.split]
        with torch.inference_mode(mode=False):  # else what is made of them has no gradients
            return self._batch(task, samples, most)

    def _batch(self, task: Task, samples: Samples, most: int | None) -> tuple[Batch, Tensor]:
        index = spread(samples, most or self.samples)
        dtype = next(task.model.parameters()).dtype
        x = task.inputs.prepare(samples.x[index])
        x, y = (part.to(dtype) if part.is_floating_point() else part for part in (x, samples.y[index]))
        return Batch(x, y, index), samples.clean[index]

    def landscape(self, task: Task) -> Landscape:
        """The dataset's loss on the samples, without regularizers; call within ``measuring``."""
        return Landscape(task.model, task.criterion.loss, self.batch(task)[0])

    @torch.no_grad()
    def look(self, task: Task) -> Look:
        """The samples, with the model's output."""
        batch, clean = self.batch(task)
        with measuring(task.model), torch.no_grad():
            return Look(batch, as_output(task.model(batch.x)), clean)


def need_features(trial: Trial) -> Tensor:
    """The model's penultimate features.

    Raises:
        ProbeError: if it returns none.
    """
    if trial.output.features is None:
        raise ProbeError("the model returns no penultimate features")
    return trial.output.features


def need_classes(task: Task) -> None:
    """Raise ``ProbeError`` unless targets are class indices, one for each sample."""
    if task.criterion.best is None:
        raise ProbeError("the targets are no classes")


def need_full_precision(trial: Trial) -> None:
    """Raise ``ProbeError`` where weights have fewer than 32 bits, which second derivatives do not survive.

    Mixed precision is fine: its weights have 32, and probes compute in their format.
    """
    if trial.precision not in ("32-true", "64-true") and not trial.precision.endswith("-mixed"):
        raise ProbeError(
            f"second derivatives need full precision, and this run's weights are {trial.precision}; "
            "set trainer.precision=bf16-mixed or 32-true"
        )


def try_out(what: str, measure: Callable[[], object]) -> None:
    """Measure once, of two samples.

    Raises:
        ProbeError: if it fails: the model has a layer that cannot be differentiated in this way.
    """
    try:
        measure()
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise ProbeError(f"{what} of this model cannot be computed: {one_line(error)[:200]}") from error


def need_real_inputs(task: Task) -> None:
    """Raise ``ProbeError`` where inputs are symbols."""
    if isinstance(task.inputs, Tokens):
        raise ProbeError("the inputs are symbols, with respect to which nothing has a derivative")


def gigabytes(numbers: float) -> str:
    """The size of so many float32 numbers, in words."""
    return f"{math.ceil(numbers * 4 / 1e8) / 10:g} GB"
