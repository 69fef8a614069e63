"""What a regularizer or a probe may know of the training that it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn
from torch.optim import Optimizer

from regrun.contracts.batch import Batch
from regrun.contracts.criterion import Criterion
from regrun.contracts.inputs import InputSpec
from regrun.contracts.output import Output
from regrun.contracts.probability_map import ProbabilityMap
from regrun.contracts.samples import Splits


class Task(Protocol):
    """What a regularizer or a probe may know of the task that holds it.

    Attributes:
        model: the network that is trained.
        inputs: what one input looks like.
        classes: the number of classes.
        criterion: what the targets mean.
        probability_map: what turns logits into probabilities, under the loss that is minimized; ``None`` if
            they have none.
        train_samples: size of the train split, for a memory of one entry per sample.
        optimizer: the optimizer, once training has begun.
    """

    model: nn.Module
    inputs: InputSpec
    classes: int
    criterion: Criterion
    train_samples: int

    @property
    def probability_map(self) -> ProbabilityMap | None:
        """What turns logits into probabilities, under the loss that is minimized."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, once training has begun."""

    def splits_on_device(self) -> Splits:
        """The samples of all splits, where the model is."""


@dataclass(frozen=True)
class Step:
    """One forward pass of training.

    Attributes:
        batch: what went in, after every ``transform``.
        output: what came out.
        task: who trains.
        number: optimization steps taken before this one.
        epoch: passes over the train split completed before this step.
    """

    batch: Batch
    output: Output
    task: Task
    number: int
    epoch: int
