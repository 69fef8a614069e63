"""Co-teaching: two networks that choose samples for each other."""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.output import Output, as_output
from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer


class Pair(nn.Module):
    """Two networks of one kind: the first one's output; in training with the other's in ``aux["peer"]``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.peer = copy.deepcopy(model)
        reinitialize(self.peer)

    def forward(self, x: Tensor) -> Output:
        output = as_output(self.model(x))
        if not self.training:
            return output
        return output._replace(aux={**(output.aux or {}), "peer": as_output(self.peer(x)).logits})


class CoTeaching(Regularizer):
    """Each network learns from the samples of the batch that have the smallest loss for the other.

    Han et al., arXiv 1804.06872. The share that is left out rises linearly to ``forget_rate``. The network
    that is evaluated is the first.

    Args:
        forget_rate: share of each batch that is left out, in ``[0, 1)``; about the rate of wrong labels.
        start_epoch: until which all samples are learned from, by two networks that do not heed each other.
        warmup_epochs: over which the share rises from 0 then; 0 has it at once.
    """

    couples = True

    def __init__(self, forget_rate: float = 0.36, start_epoch: int = 0, warmup_epochs: int = 10) -> None:
        super().__init__()
        if not 0 <= forget_rate < 1:
            raise ValueError(f"forget_rate must lie in [0, 1), got {forget_rate}")
        if min(start_epoch, warmup_epochs) < 0:
            raise ValueError(
                f"start_epoch and warmup_epochs must be at least 0, got {start_epoch} and {warmup_epochs}"
            )
        self.forget_rate = forget_rate
        self.start_epoch = start_epoch
        self.warmup_epochs = warmup_epochs

    def attach(self, task: Task) -> None:
        """Give the model a peer with weights of its own."""
        task.model = Pair(task.model)

    def loss(self, step: Step) -> Tensor:
        """The sum of both networks' losses over the samples that the other chose, in float32 at least."""
        assert step.output.aux is not None
        logits = [widened(z) for z in (step.output.logits, step.output.aux["peer"])]
        y = step.batch.y.to(logits[0]) if step.batch.y.is_floating_point() else step.batch.y
        losses = [F.cross_entropy(z, y, reduction="none") for z in logits]
        kept = max(1, round((1 - self.forgotten(step.epoch)) * len(losses[0])))
        chosen = [loss.detach().topk(kept, largest=False).indices for loss in losses]
        return losses[0][chosen[1]].mean() + losses[1][chosen[0]].mean()

    def forgotten(self, epoch: int) -> float:
        """The share of a batch that is left out in an epoch."""
        if epoch < self.start_epoch:
            return 0.0
        risen = (epoch - self.start_epoch) / self.warmup_epochs if self.warmup_epochs else 1.0
        return self.forget_rate * min(1.0, risen)


def reinitialize(model: nn.Module) -> None:
    """Draw the weights of every layer anew, as they were drawn when it was made."""
    for module in model.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
