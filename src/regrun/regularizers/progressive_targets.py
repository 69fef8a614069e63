"""Targets that move towards the network's own predictions of the epoch before."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from regrun.contracts.output import as_output
from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_probabilities
from regrun.regularizers.weight_averaging import tensors_of


class ProgressiveTargets(Regularizer):
    """Replaces the loss by cross-entropy with labels mixed with the last epoch's predictions (PS-KD).

    ``(1 - a) y + a p_old`` with the softmax ``p_old`` of the network as the epoch before left it, in
    evaluation mode, on the same inputs. The share ``a`` grows by the epoch, ``share * epoch / epochs``, or is
    ``share`` from the second epoch on. Costs another forward pass. Kim et al., arXiv 2006.12000.

    Args:
        share: final weight of the predictions, in ``[0, 1]``.
        epochs: number of training epochs; ``None`` keeps the weight constant.
    """

    epoch: Tensor

    def __init__(self, share: float = 0.8, epochs: int | None = None) -> None:
        super().__init__()
        if not 0 <= share <= 1 or (epochs is not None and epochs < 1):
            raise ValueError(
                f"share must lie in [0, 1] and epochs be at least 1, or null, got {share} and {epochs}"
            )
        self.share = share
        self.epochs = epochs
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def attach(self, task: Task) -> None:
        """Keep a copy of the network."""
        self.past: nn.Module = copy.deepcopy(task.model).requires_grad_(False)

    def loss(self, step: Step) -> Tensor:
        log_p = widened(step.output.logits).log_softmax(-1)
        y = as_probabilities(step.batch.y, log_p.shape[-1], log_p).to(log_p)
        if step.epoch != int(self.epoch):  # the first step of an epoch
            self.remember(step.task.model)
            self.epoch.fill_(step.epoch)
        if step.epoch == 0:
            return -(y * log_p).sum(-1).mean()
        share = self.share * (1 if self.epochs is None else min(step.epoch / self.epochs, 1))
        self.past.eval()
        with torch.no_grad():
            old = as_output(self.past(step.batch.x)).logits.to(log_p).softmax(-1)
        return -(((1 - share) * y + share * old) * log_p).sum(-1).mean()

    @torch.no_grad()
    def remember(self, model: nn.Module) -> None:
        """Copy the network, with its running statistics."""
        for past, now in zip(tensors_of(self.past), tensors_of(model), strict=True):
            past.copy_(now)
