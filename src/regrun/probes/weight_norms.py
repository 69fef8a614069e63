"""The norm of every weight tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.probes.base import Probe
from regrun.regularizers.shards import whole


class WeightNorms(Probe):
    """``weight_norm``, the L2 norm of all parameters together, and ``weight_norm/<parameter>`` of each."""

    metrics = ("weight_norm",)
    splits = True

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        norms = {name: whole(weight.norm()) for name, weight in task.model.named_parameters()}
        total = torch.stack(list(norms.values())).norm()
        return {"weight_norm": total, **{f"weight_norm/{name}": norm for name, norm in norms.items()}}
