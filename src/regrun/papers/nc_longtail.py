"""*Inducing Neural Collapse in Deep Long-tailed Learning*: accuracy on rare classes."""

from __future__ import annotations

import torch

from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.data.criteria import is_right
from regrun.data.stream import BatchList
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class LongTailRecall(AfterTraining):
    """Trains a classifier; then measures the recall of each class on the test split.

    ``recall/class=c`` of every class, and ``few_recall``, the mean over the ``few`` classes with the fewest
    train samples. Liu et al., arXiv 2302.12453.

    Args:
        training: training procedure.
        few: number of rare classes.
    """

    own = ("recall", "few_recall")

    def __init__(self, training: SupervisedTraining, few: int = 3) -> None:
        super().__init__(training)
        if not 1 <= few <= training.dataset.classes:
            raise ValueError(f"few must lie between 1 and the number of classes, got {few}")
        self.few = few

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        task.eval()
        found = [
            is_right(as_output(task.model(task.inputs.prepare(batch.x))).logits, batch.y)
            for batch in BatchList(splits.test, task.evaluation_batch)
        ]
        right = torch.cat(found)
        recall = torch.stack([right[splits.test.y == c].mean() for c in range(task.classes)])
        counts = torch.bincount(splits.train.y, minlength=task.classes)
        rare = counts.argsort(stable=True)[: self.few]
        row = {f"recall/class={c}": float(value) for c, value in enumerate(recall)}
        return row | {"few_recall": float(recall[rare].mean())}
