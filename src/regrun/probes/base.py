"""The contract of a probe."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task


class ProbeError(ValueError):
    """A probe cannot measure this model, in this precision, or at this size."""


@dataclass(frozen=True)
class Trial:
    """A task before training, as a probe sees it.

    Attributes:
        output: the model's for two train samples.
        precision: precision of training, in Lightning's notation: ``32-true``, ``bf16-mixed``, ...
    """

    output: Output
    precision: str


class Probe(nn.Module):
    """Measures at evaluations, and never changes training.

    An evaluation happens every ``eval_every`` steps. ``on_gradient`` and ``on_edited_gradient`` are called
    in the step that ends there; then ``update`` once per batch of the split that the probe looks at, with the
    weights that the step left; then ``compute``.

    Attributes:
        metrics: the names that ``compute`` gives; ``name`` stands for its parts ``name/...``, too. Claims are
            checked against them before anything runs.
        split: the split it looks at.
        every: evaluations from one measurement to the next; the first and the last are always measured.
        splits: whether it measures the same where the weights are split over processes (``trainer=fsdp``).
    """

    metrics: tuple[str, ...] = ()
    split: str = "train"
    every: int = 1
    splits = False

    def attach(self, task: Task, trial: Trial) -> None:
        """Once, before training: check that the model can be measured, remember how it begins.

        Raises:
            ProbeError: if it cannot.
        """

    def on_gradient(self, task: Task) -> None:
        """The gradient of the loss lies in ``.grad``."""

    def on_edited_gradient(self, task: Task) -> None:
        """The gradient as the optimizer will get it lies in ``.grad``."""

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        """A batch of the split has been evaluated; ``clean`` are its labels before any noise."""

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        """Return the metrics by name, as scalars, and reset."""
        raise NotImplementedError
