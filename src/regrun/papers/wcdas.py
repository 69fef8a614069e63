"""*Wrapped Cauchy Distributed Angular Softmax*: a long tail in two stages."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.data.criteria import is_right
from regrun.models.angular_heads import WrappedCauchyHead
from regrun.models.head import linear_head
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.evaluation import features_of
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised

FEW = 3  # rarest classes


class BalancedHead(AfterTraining):
    """Trains on a long tail, then the last layer alone on batches in which classes are equally frequent.

    ``balanced_accuracy`` is the mean over classes of the accuracy on the test split, ``few_accuracy`` that
    over the three rarest; ``retrained_balanced_accuracy`` and ``retrained_few_accuracy`` those after the
    second stage. ``concentration_rank`` is Spearman's correlation of a wrapped Cauchy head's concentrations
    with the numbers of samples after the first stage, ``nan`` for other heads. Features are those of the
    first stage. Han, arXiv 2305.18732; in two stages as Kang et al., arXiv 1910.09217.

    Args:
        training: the first stage.
        epochs: epochs of the second stage, each with as many samples as the first stage's.
        batch: samples of a step.
        lr: learning rate of SGD with momentum 0.9.
        weight_decay: weight decay of the second stage.
    """

    own = (
        "balanced_accuracy",
        "few_accuracy",
        "retrained_balanced_accuracy",
        "retrained_few_accuracy",
        "concentration_rank",
    )

    def __init__(
        self,
        training: SupervisedTraining,
        epochs: int = 10,
        batch: int = 64,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__(training)
        if min(epochs, batch) < 1 or lr <= 0 or weight_decay < 0:
            raise ValueError(
                "epochs and batch must be at least 1, lr above 0 and weight_decay at least 0, "
                f"got {epochs}, {batch}, {lr} and {weight_decay}"
            )
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.weight_decay = weight_decay

    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """The second stage."""
        torch.manual_seed(context.seed)
        head = linear_head(task.model)
        train, test = features_of(task, splits.train), features_of(task, splits.test)
        counts = torch.bincount(train.y, minlength=task.classes)
        rarest = counts.argsort(stable=True)[:FEW]
        first = class_accuracies(head, test.z, test.clean, task.classes)
        rank = math.nan
        if isinstance(head, WrappedCauchyHead):
            rank = float(spearmanr(head.concentration.detach(), counts).statistic)
        self.retrain(head, train.z.float(), train.y, counts, context)
        second = class_accuracies(head, test.z, test.clean, task.classes)
        return {
            "balanced_accuracy": float(first.nanmean()),
            "few_accuracy": float(first[rarest].nanmean()),
            "retrained_balanced_accuracy": float(second.nanmean()),
            "retrained_few_accuracy": float(second[rarest].nanmean()),
            "concentration_rank": rank,
        }

    def retrain(self, head: nn.Linear, z: Tensor, y: Tensor, counts: Tensor, context: Context) -> None:
        """Train the head on features ``(n, width)``, drawn so that classes are equally frequent."""
        optimizer = torch.optim.SGD(
            head.parameters(), self.lr, momentum=0.9, weight_decay=self.weight_decay, fused=True
        )
        chance = 1 / counts[y].double()
        for _ in range(self.epochs):
            context.stop.check()
            for part in torch.multinomial(chance, len(y), replacement=True).split(self.batch):
                loss = F.cross_entropy(head(z[part]), y[part])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


@torch.no_grad()
def class_accuracies(head: nn.Linear, z: Tensor, y: Tensor, classes: int) -> Tensor:
    """The accuracy of each class, ``(classes,)``; ``nan`` without samples or with ``nan`` logits."""
    right = is_right(head(z.to(head.weight)), y)
    return torch.stack([right[y == c].mean() for c in range(classes)])
