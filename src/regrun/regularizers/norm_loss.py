"""Rows of weights drawn towards norm 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.max_suppression import check_weight

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class NormLoss(Regularizer):
    """Adds ``weight * sum_c (1 - |w_c|)^2`` over the rows of all convolutions and linear layers.

    A row holds the input weights of one output channel or unit. The loss is weight decay whose sign changes
    at norm 1.
    Georgiou et al., arXiv 2103.06583.

    Args:
        weight: lambda, at least 0.
    """

    def __init__(self, weight: float = 1e-2) -> None:
        super().__init__()
        check_weight(weight)
        self.weight = weight

    def attach(self, task: Task) -> None:
        """Check that there are rows.

        Raises:
            ValueError: if there are none.
        """
        if not row_norms(task.model):
            raise ValueError(
                f"norm_loss is of convolutions and linear layers, and {type(task.model).__name__} has none"
            )

    def penalty(self, step: Step) -> Tensor:
        return (
            self.weight
            * torch.stack([(1 - norms).square().sum() for norms in row_norms(step.task.model)]).sum()
        )


def row_norms(model: nn.Module) -> list[Tensor]:
    """The norms of each layer's rows, ``(channels,)``; differentiable at a row of zeros, too."""
    rows = [module.weight.flatten(1) for module in model.modules() if isinstance(module, LAYERS)]
    return [row.square().sum(1).clamp_min(1e-24).sqrt() for row in rows]
