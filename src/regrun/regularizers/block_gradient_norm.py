"""The penalty by which stochastic gradient descent differs from gradient descent, made explicit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from regrun.contracts.batch import Batch
from regrun.contracts.output import as_output
from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer


class BlockGradientNorm(Regularizer):
    """Descends ``L + strength lr / 4 mean_b |grad L_b|^2`` over blocks ``b`` of the batch.

    SGD with learning rate ``lr`` and batches ``b`` follows the flow of this loss with strength 1 (Smith et
    al., arXiv 2101.12176); Geiping et al., *Stochastic Training is Not Necessary for Generalization*, arXiv
    2109.14119, add it to full-batch descent. The term's gradient is a forward difference along the block's
    gradient ``g_b``, of length ``difference``: ``strength lr / 2 (grad L_b(w + e g_b) - g_b) / e``, ``e =
    difference / |g_b|``. Two more passes a step; running statistics do not move in them.

    Args:
        block: samples of each, evenly spread over the batch; some have one less if they do not divide it.
        lr: learning rate of the SGD that is imitated.
        strength: weight of the penalty, at least 0.
        difference: length of the step, above 0.
    """

    couples = True

    def __init__(
        self, block: int = 50, lr: float = 0.05, strength: float = 0.5, difference: float = 0.01
    ) -> None:
        super().__init__()
        sane = 0 <= lr < math.inf and 0 <= strength < math.inf and 0 < difference < math.inf
        if block < 1 or not sane:
            raise ValueError(
                "block must be at least 1, lr and strength at least 0 and difference above 0, "
                f"got {block}, {lr}, {strength} and {difference}"
            )
        self.block = block
        self.lr = lr
        self.strength = strength
        self.difference = difference
        self._batch: Batch | None = None

    def transform(self, batch: Batch) -> Batch:
        """Remember the batch."""
        self._batch = batch
        return batch

    def edit_gradients(self, task: Task) -> None:
        """Add the term's gradient."""
        batch = self._batch
        assert batch is not None
        weights: list[Tensor] = [p for p in task.model.parameters() if p.requires_grad]
        added = [torch.zeros_like(w) for w in weights]
        blocks = -(-len(batch.x) // self.block)
        with frozen_statistics(task.model):
            for start in range(blocks):
                part = slice(start, None, blocks)  # spread, as samples may lie in the order of their classes
                block = Batch(batch.x[part], batch.y[part], batch.index[part])
                here = gradient(task, weights, block)
                length = torch.stack([g.norm() for g in here]).norm().clamp_min(1e-12)
                reach = float(self.difference / length)
                kept = [w.detach().clone() for w in weights]
                with torch.no_grad():
                    torch._foreach_add_(weights, here, alpha=reach)
                there = gradient(task, weights, block)
                with torch.no_grad():
                    torch._foreach_copy_(weights, kept)  # exactly: adding back would round
                for total, a, b in zip(added, here, there, strict=True):
                    total.add_(b - a, alpha=1 / reach)
        scale = self.strength * self.lr / 2 / blocks
        for w, total in zip(weights, added, strict=True):
            assert w.grad is not None
            w.grad.add_(total, alpha=scale)


def gradient(task: Task, weights: list[Tensor], batch: Batch) -> tuple[Tensor, ...]:
    """The gradient of the dataset's loss on a block."""
    with torch.enable_grad():
        loss = task.criterion.loss(as_output(task.model(batch.x)), batch)
        return torch.autograd.grad(loss, weights)


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalization goes on by the batch's statistics, and its running ones stay as they are."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
