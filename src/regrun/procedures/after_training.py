"""A base for procedures that measure or change a trained network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from regrun.contracts.procedure import Context, Description, Stage
from regrun.contracts.samples import Splits
from regrun.errors import UserError
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class AfterTraining(ABC):
    """Trains a network, or finds it trained; then measures or changes it.

    The curves are the training's; the final metrics add the procedure's own.

    Args:
        training: the training procedure.

    Attributes:
        own: names of the metrics that ``measure`` returns.
    """

    own: Collection[str] = ()

    def __init__(self, training: SupervisedTraining) -> None:
        self.training = training

    @property
    def metrics(self) -> list[str]:
        """The training's metrics and its own."""
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
        """Raise ``ValueError`` if it cannot measure this network or these samples."""

    @abstractmethod
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """Measure the trained network.

        Args:
            task: the task after training.
            splits: the samples.
            stage: the training stage, with its curves.
            context: context of the run.
        """


def trained(training: SupervisedTraining, context: Context) -> tuple[Stage, Splits, Supervised]:
    """Train a network, or find it trained.

    Returns:
        The training stage, the samples, and the task after training.

    Raises:
        UserError: if it was trained on data that have changed.
    """
    stage = context.stage("training", training)
    splits = training.dataset.load(context.data_dir, context.seed)
    check_data(stage, splits)
    return stage, splits, training.restore(stage.checkpoint, splits)


def check_data(stage: Stage, splits: Splits) -> None:
    """Raise ``UserError`` if a stage was trained on data that have changed."""
    if stage.data_fingerprint not in ("", splits.fingerprint()):
        raise UserError(
            f"{stage.directory} was trained on other data than there are now; remove it to train anew"
        )
