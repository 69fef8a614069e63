"""What is done with a trained network: the part that papers' own procedures share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from regrun.contracts.procedure import Context, Description, Stage
from regrun.contracts.samples import Splits
from regrun.errors import UserError
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class AfterTraining(ABC):
    """Trains, or finds the trained network; then measures or changes it.

    The curves are those of the training, the final metrics those of the training and its own.

    Args:
        training: what to train.

    Attributes:
        own: the names of what ``measure`` gives.
    """

    own: Collection[str] = ()

    def __init__(self, training: SupervisedTraining) -> None:
        self.training = training

    @property
    def metrics(self) -> list[str]:
        """What the training reports, and its own."""
        return [*self.training.metrics, *self.own]

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and measure."""
        stage, splits, task = trained(self.training, context)
        self.check(task, splits)
        context.begin(
            Description(
                steps=self.training.steps,
                precision=str(context.trainer["precision"]),
                sizes=splits.sizes,
                data_fingerprint=splits.fingerprint(),
                notes=splits.notes,
            )
        )
        for step in sorted({step for curve in stage.curves.values() for step in curve}):
            context.log(step, {name: curve[step] for name, curve in stage.curves.items() if step in curve})
        return {**stage.metrics, **self.measure(task, splits, stage, context)}

    def check(self, task: Supervised, splits: Splits) -> None:  # noqa: B027  # most can measure any network
        """Raise ``ValueError`` for a network, or samples, that it cannot measure."""

    @abstractmethod
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """The metrics of the trained network.

        Args:
            task: as training left it.
            splits: the samples.
            stage: the training, with its curves.
            context: of the run.
        """


def trained(training: SupervisedTraining, context: Context) -> tuple[Stage, Splits, Supervised]:
    """Train, or find the trained network.

    Returns:
        The training, with its curves; the samples; and the task as training left it.

    Raises:
        UserError: if it was trained on other data than there are now.
    """
    stage = context.stage("training", training)
    splits = training.dataset.load(context.data_dir, context.seed)
    check_data(stage, splits)
    return stage, splits, training.restore(stage.checkpoint, splits)


def check_data(stage: Stage, splits: Splits) -> None:
    """Raise ``UserError`` if a stage was trained on other data than there are now."""
    if stage.data_fingerprint not in ("", splits.fingerprint()):
        raise UserError(
            f"{stage.directory} was trained on other data than there are now; remove it to train anew"
        )
