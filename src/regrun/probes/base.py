"""The contract of a probe."""

from __future__ import annotations

from torch import Tensor, nn

from regrun.data.base import Batch
from regrun.models.output import Output
from regrun.regularizers.base import Task


class Probe(nn.Module):
    """Measures at every evaluation, and never changes training.

    An evaluation happens every ``eval_every`` steps. ``on_gradient`` and ``on_edited_gradient`` are called
    in the step that ends there; then ``update`` once per batch of the split that the probe looks at, with the
    weights that the step left; then ``compute``.

    Attributes:
        metrics: the names that ``compute`` gives; ``name`` stands for its parts ``name/...``, too. Claims are
            checked against them before anything runs.
        split: the split it looks at.
    """

    metrics: tuple[str, ...] = ()
    split: str = "train"

    def on_gradient(self, task: Task) -> None:
        """The gradient of the loss lies in ``.grad``."""

    def on_edited_gradient(self, task: Task) -> None:
        """The gradient as the optimizer will get it lies in ``.grad``."""

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        """A batch of the split has been evaluated; ``clean`` are its labels before any noise."""

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        """The measurement: metrics by name, as scalars. Forgets what was seen."""
        raise NotImplementedError
