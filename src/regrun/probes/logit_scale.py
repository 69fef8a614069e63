"""How large the logits have grown on the train split."""

from __future__ import annotations

from torch import Tensor
from torchmetrics import MeanMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.probes.base import Probe


class LogitScale(Probe):
    """Means over the train split of ``logit_scale`` and ``logit_margin``.

    ``logit_scale`` is ``max_j |z_j|``; ``logit_margin`` is the labelled class's logit less the largest
    other one, positive where the sample is fitted.
    """

    splits = True
    metrics = ("logit_scale", "logit_margin")

    def __init__(self) -> None:
        super().__init__()
        self.scale = MeanMetric(nan_strategy="disable")
        self.margin = MeanMetric(nan_strategy="disable")

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        z = output.logits.detach()
        y = batch.y[:, None]
        others = z.scatter(1, y, -float("inf"))
        self.scale.update(z.abs().amax(1))
        self.margin.update(z.gather(1, y).squeeze(1) - others.amax(1))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        values: dict[str, float | Tensor] = {
            "logit_scale": self.scale.compute(),
            "logit_margin": self.margin.compute(),
        }
        self.scale.reset()
        self.margin.reset()
        return values
