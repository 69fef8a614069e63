"""*Softpick: No Attention Sink, No Massive Activations with Rectified Softmax*: fewer bits."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.data.stream import BatchList
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class Quantized(AfterTraining):
    """Trains a network, then rounds its weight matrices to few bits.

    ``quantized_loss_increase/bits=B`` is by how much the test loss grows when every matrix has only
    ``2^B - 1`` values, evenly spaced and symmetric about 0, the largest of them its largest entry.

    Args:
        training: training procedure.
        bits: each at least 2.
    """

    own = ("quantized_loss_increase",)

    def __init__(self, training: SupervisedTraining, bits: tuple[int, ...] = (4, 3)) -> None:
        super().__init__(training)
        if not bits or min(bits) < 2:
            raise ValueError(f"bits must be at least 2, got {list(bits)}")
        self.bits = bits

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """Round, and evaluate."""
        matrices = [weight for weight in task.model.parameters() if weight.ndim >= 2]
        exact = [weight.clone() for weight in matrices]
        before = loss_on_test(task, splits)
        row = {}
        for bits in self.bits:
            for weight, original in zip(matrices, exact, strict=True):
                weight.copy_(rounded(original, bits))
            row[f"quantized_loss_increase/bits={bits}"] = loss_on_test(task, splits) - before
        return row


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Round to the nearest of ``2^bits - 1`` evenly spaced values symmetric about 0."""
    step = weight.abs().amax().clamp_min(1e-30) / (2 ** (bits - 1) - 1)
    return (weight / step).round() * step


def loss_on_test(task: Supervised, splits: Splits) -> float:
    """The test loss, as an evaluation computes it."""
    task.eval()
    total = torch.zeros((), dtype=torch.float64)
    count = 0
    for batch in BatchList(splits.test, task.evaluation_batch):
        output = as_output(task.model(task.inputs.prepare(batch.x)))
        losses = task.criterion.score(output, batch)["loss"]
        total += losses.double().sum()
        count += losses.numel()
    return float(total / count)
