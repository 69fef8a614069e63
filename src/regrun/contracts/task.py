"""The training, as regularizers and probes see it."""

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
    """The task, as its regularizers and probes see it.

    Attributes:
        model: the network in training.
        inputs: shape and type of one input.
        classes: the number of classes.
        criterion: loss and scores of the targets.
        probability_map: the map from logits to probabilities under the training loss; ``None`` if it has
            none.
        train_samples: size of the train split.
        optimizer: the optimizer, once training has begun.
    """

    model: nn.Module
    inputs: InputSpec
    classes: int
    criterion: Criterion
    train_samples: int

    @property
    def probability_map(self) -> ProbabilityMap | None:
        """The map from logits to probabilities under the training loss; ``None`` if it has none."""

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, once training has begun."""

    def splits_on_device(self) -> Splits:
        """All splits, on the model's device."""


@dataclass(frozen=True)
class Step:
    """One forward pass of training.

    Attributes:
        batch: the input, after every ``transform``.
        output: the model's output.
        task: the task in training.
        number: optimization steps taken before this one.
        epoch: passes over the train split completed before this step.
    """

    batch: Batch
    output: Output
    task: Task
    number: int
    epoch: int
