"""Communication between the ranks of a distributed run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every rank the mean of the ranks' gradients, in place."""
    for parameter in parameters:
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def gather_rows(index: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Gather the rows of all ranks; returns the same rows if there is one rank.

    Args:
        index: position of each row, int64 ``(n,)``; ranks may differ in ``n``.
        values: ``(n, width)``.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return index, values
    ranks = dist.get_world_size()
    mine = torch.tensor([len(index)], device=index.device)
    counts = [torch.empty_like(mine) for _ in range(ranks)]
    dist.all_gather(counts, mine)
    longest = int(torch.stack(counts).max())
    gathered = []
    for rows in (index, values):
        padded = torch.zeros(longest, *rows.shape[1:], dtype=rows.dtype, device=rows.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(ranks)]
        dist.all_gather(parts, padded)
        gathered.append(torch.cat([part[: int(n)] for part, n in zip(parts, counts, strict=True)]))
    return gathered[0], gathered[1]
