"""How far the labels' logits are ahead."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.aggregation import CatMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.measures.share import unless_nan
from regrun.probes.base import Probe

QUANTILES = {"p05": 0.05, "p50": 0.5, "p95": 0.95}


class Margins(Probe):
    """Quantiles over the train samples of the label's logit less the largest other one: ``margin/p05`` etc.

    A negative margin is a sample that is not fitted. ``nan`` if a logit is.
    """

    metrics = ("margin",)

    def __init__(self) -> None:
        super().__init__()
        self.seen = CatMetric(nan_strategy="disable")

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        z = output.logits.float()
        own = z.gather(1, batch.y[:, None])
        others = z.scatter(1, batch.y[:, None], -torch.inf).amax(1)
        self.seen.update(own.squeeze(1) - others)

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        margins = torch.as_tensor(self.seen.compute()).sort().values
        self.seen.reset()
        last = len(margins) - 1
        found = {f"margin/{name}": margins[round(q * last)] for name, q in QUANTILES.items()}
        return {name: unless_nan(margin, margins) for name, margin in found.items()}
