"""The gradients of blocks of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.probes.samples import SampleProbe


class BlockGradients(SampleProbe):
    """``block_gradient``, the mean over blocks of the squared norm of the gradient, and ``full_gradient``.

    The second is the squared norm of their mean. Of the dataset's loss, in evaluation mode. What SGD
    penalizes is the first (Smith et al., arXiv 2101.12176). Costs a gradient of ``samples`` samples.

    Args:
        samples: number of samples.
        block: samples of each block, evenly spread.
        every: evaluations from one measurement to the next.
    """

    metrics = ("block_gradient", "full_gradient")

    def __init__(self, samples: int = 1000, block: int = 50, every: int = 1) -> None:
        super().__init__(samples, every)
        if block < 1:
            raise ValueError(f"block must be at least 1, got {block}")
        self.block = block

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        squares, total = torch.zeros((), dtype=torch.float64, device=batch.x.device), None
        blocks = max(1, len(batch.x) // self.block)
        with measuring(task.model):
            for start in range(blocks):
                part = slice(start, None, blocks)
                block = batch._replace(x=batch.x[part], y=batch.y[part], index=batch.index[part])
                gradient = Landscape(task.model, task.criterion.loss, block).gradient().double()
                squares += gradient.square().sum()
                total = gradient if total is None else total.add_(gradient)
        assert total is not None
        return {"block_gradient": squares / blocks, "full_gradient": (total / blocks).square().sum()}
