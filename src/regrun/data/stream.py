"""Training batches without end, as index slices of tensors that already lie on the device."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from regrun.contracts.batch import Batch
from regrun.contracts.samples import Samples


class BatchStream:
    """An endless stream of training batches, a pure function of the seed and the step.

    Being stateless is what makes a run resumable to the same numbers: the batch of step ``s`` is the
    same whether or not the run was interrupted before it. A full batch is never copied and never
    shuffled; smaller ones are cut from a new permutation each epoch, the last one of an epoch may be
    shorter.

    Args:
        samples: the train split, on its device.
        batch_size: samples per step over all ranks together; ``None`` for the full batch.
        seed: seed of the shuffling.
        start: the step to begin with.
        rank: this process, out of ``world_size``; each takes every ``world_size``-th sample of a batch.
        world_size: number of processes.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int | None,
        seed: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.samples = samples
        self.batch_size = min(batch_size or len(samples), len(samples))
        self.seed = seed
        self.start = start
        self.shard = slice(rank, None, world_size)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that visit each sample once."""
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.steps_per_epoch == 1:
            index = torch.arange(len(self.samples), device=self.samples.x.device)[self.shard]
            batch = Batch(self.samples.x[self.shard], self.samples.y[self.shard], index)
            while True:
                yield batch
        epoch, position = divmod(self.start, self.steps_per_epoch)
        while True:
            order = self._permutation(epoch)
            for k in range(position, self.steps_per_epoch):
                index = order[k * self.batch_size : (k + 1) * self.batch_size][self.shard]
                yield Batch(self.samples.x[index], self.samples.y[index], index)
            epoch, position = epoch + 1, 0

    def _permutation(self, epoch: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.samples), generator=generator).to(self.samples.x.device)


class BatchList:
    """All samples of a split in order, in batches, for an evaluation.

    Args:
        samples: the split, on its device.
        batch_size: samples per batch over all ranks together.
        rank: this process, out of ``world_size``.
        world_size: number of processes.
        most: only so many samples, spread evenly.
    """

    def __init__(
        self, samples: Samples, batch_size: int, rank: int = 0, world_size: int = 1, most: int | None = None
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.index = spread(samples, most)
        self.shard = slice(rank, None, world_size)

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.index), self.batch_size):
            index = self.index[start : start + self.batch_size][self.shard]
            yield Batch(self.samples.x[index], self.samples.y[index], index)


def spread(samples: Samples, most: int | None) -> torch.Tensor:
    """Positions of at most so many samples, spread evenly: a split may lie in the order of its labels."""
    n = min(most or len(samples), len(samples))
    return torch.arange(n, device=samples.x.device) * len(samples) // n
