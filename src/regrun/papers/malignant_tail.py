"""*The Malignant Tail*: label noise sits in the trailing directions of the features, and can be cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.models.head import linear_head
from regrun.procedures.after_training import trained
from regrun.procedures.evaluation import Features, accuracy, features_of
from regrun.procedures.training import SupervisedTraining


@dataclass(frozen=True, eq=False)
class SpectralTruncation:
    """Trains a classifier, then keeps only the ``d`` leading directions of its penultimate features.

    ``z -> mu + V_d V_d^T (z - mu)``, with the mean and the right singular vectors of the train split's
    features; then the original head, or one refitted to the noisy labels by least squares. Logged at step
    ``d``, so that curves run over directions. arXiv 2603.02293, which its author has withdrawn. The paper's
    choice between the two heads and of ``d`` is not known, so both heads are measured at every ``d``.

    Args:
        training: training procedure, whose model has a linear ``head``.
        directions: numbers of directions to keep, ascending.
    """

    metrics = (
        "truncated_accuracy",
        "truncated_memorized",
        "refitted_accuracy",
        "random_accuracy",
        "full_accuracy",
        "full_memorized",
        "best_epoch_accuracy",
        "train_accuracy",
    )

    training: SupervisedTraining
    directions: Sequence[int]

    def __post_init__(self) -> None:
        if (
            not self.directions
            or list(self.directions) != sorted({*self.directions})
            or self.directions[0] < 1
        ):
            raise ValueError(f"directions must ascend and be at least 1, got {list(self.directions)}")

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, or find the trained network; then truncate."""
        stage, splits, task = trained(self.training, context)
        context.begin(
            Description(
                steps=self.directions[-1],
                precision="64-true",
                sizes=splits.sizes,
                data_fingerprint=splits.fingerprint(),
                notes=splits.notes,
            )
        )
        train, test = features_of(task, splits.train), features_of(task, splits.test)
        head = linear_head(task.model).double()
        mean = train.z.mean(0)
        leading = torch.linalg.svd(train.z - mean, full_matrices=False).Vh
        generator = torch.Generator().manual_seed(context.seed)
        width = train.z.shape[1]
        noise = torch.randn(width, width, generator=generator, dtype=torch.float64)
        random = torch.linalg.qr(noise).Q.T

        @torch.no_grad()
        def predict(features: Features, directions: Tensor) -> Tensor:
            logits: Tensor = head(mean + (features.z - mean) @ directions.T @ directions)
            return logits

        def fit(features: Features, directions: Tensor) -> float:
            return accuracy(predict(features, directions)[features.wrong], features.y[features.wrong])

        full = {
            "full_accuracy": accuracy(predict(test, leading), test.y),
            "full_memorized": fit(train, leading),
            "best_epoch_accuracy": max(stage.curves["test_accuracy"].values()),
            "train_accuracy": stage.metrics["train_accuracy"],
        }
        row: dict[str, float] = {}
        for d in self.directions:
            context.stop.check()
            first = leading[:d]
            row = full | {
                "truncated_accuracy": accuracy(predict(test, first), test.y),
                "truncated_memorized": fit(train, first),
                "refitted_accuracy": accuracy(refitted_logits(train, test, mean, first), test.y),
                "random_accuracy": accuracy(predict(test, random[:d]), test.y),
            }
            context.log(d, row)
        return row


def refitted_logits(train: Features, test: Features, mean: Tensor, directions: Tensor) -> Tensor:
    """Logits of the test split by a head fitted to the train labels by least squares, on some coordinates."""

    def coordinates(z: Tensor) -> Tensor:
        inner = (z - mean) @ directions.T
        return torch.cat([inner, inner.new_ones(len(inner), 1)], 1)

    labels = torch.nn.functional.one_hot(train.y).double()
    head = torch.linalg.lstsq(coordinates(train.z), labels, driver="gelsd").solution
    return coordinates(test.z) @ head
