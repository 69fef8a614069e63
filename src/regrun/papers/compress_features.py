"""*Compressing Features for Learning with Noisy Labels*: choosing the number of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from regrun.contracts.procedure import Context, Description
from regrun.models.head import linear_head
from regrun.procedures.after_training import trained
from regrun.procedures.evaluation import Features, accuracy, features_of
from regrun.procedures.training import SupervisedTraining
from regrun.regularizers.feature_dropout import first_only


@dataclass(frozen=True, eq=False)
class FeatureCompression:
    """Trains a classifier, then keeps the number of features that the validation split likes best.

    Features that nested dropout has ordered can be cut after the ``K``-th; the ``K`` with the highest
    accuracy on the clean labels of the validation split is chosen, and the smallest of equals. Logged at
    step ``K``. Chen et al., arXiv 2206.13140.

    Args:
        training: training procedure, whose dataset has a validation split.
        kept: the candidates for ``K``, ascending; ``None`` keeps all features, for networks whose features
            have no order.
    """

    metrics = (
        "test_accuracy",
        "validation_accuracy",
        "memorized",
        "kept_features",
        "all_features_accuracy",
        "best_epoch_accuracy",
        "train_accuracy",
        "cut_accuracy",
    )

    training: SupervisedTraining
    kept: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.kept is not None and (
            not self.kept or list(self.kept) != sorted({*self.kept}) or self.kept[0] < 1
        ):
            raise ValueError(f"kept must ascend and be at least 1, got {list(self.kept)}")
        if not self.training.dataset.validation:
            raise ValueError("dataset.validation must be above 0: the number of features is chosen on it")

    def __call__(self, context: Context) -> dict[str, float]:
        """Train a network, or find it trained; then choose, and measure the choice."""
        stage, splits, task = trained(self.training, context)
        assert splits.validation is not None
        context.begin(
            Description(
                steps=self.kept[-1] if self.kept else 1,
                sizes=splits.sizes,
                data_fingerprint=splits.fingerprint(),
                notes=splits.notes,
            )
        )
        train, test, validation = (
            features_of(task, samples) for samples in (splits.train, splits.test, splits.validation)
        )
        head = linear_head(task.model).double()
        width = train.z.shape[1]

        @torch.no_grad()
        def cut(features: Features, count: int) -> torch.Tensor:
            logits: torch.Tensor = head(first_only(features.z, count))
            return logits

        best, chosen = -1.0, width
        for count in self.kept or [width]:
            context.stop.check()
            score = accuracy(cut(validation, count), validation.clean)
            context.log(count, {"cut_accuracy": accuracy(cut(test, count), test.y)})
            if score > best:
                best, chosen = score, min(count, width)
        wrong = train.wrong
        return {
            "test_accuracy": accuracy(cut(test, chosen), test.y),
            "validation_accuracy": best,
            "memorized": accuracy(cut(train, chosen)[wrong], train.y[wrong]),
            "kept_features": float(chosen),
            "all_features_accuracy": accuracy(cut(test, width), test.y),
            "best_epoch_accuracy": max(stage.curves["test_accuracy"].values()),
            "train_accuracy": stage.metrics["train_accuracy"],
        }
