"""Weights that are split over the processes of a run, and sums over all of them."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor


def is_split(weight: Tensor) -> bool:
    """Whether a tensor is sharded over processes."""
    return isinstance(weight, DTensor)


def own_part(weight: Tensor) -> Tensor:
    """This process's shard of a weight or a gradient; all of it if nothing is sharded."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def over_parts(value: Tensor, of: Tensor) -> Tensor:
    """The sum over all processes of a value that each has computed of its part of ``of``."""
    if isinstance(of, DTensor):
        dist.all_reduce(value, group=of.device_mesh.get_group())
    return value


def whole(value: Tensor) -> Tensor:
    """A value computed of split weights, as every process would have it of whole ones; differentiable."""
    return value.full_tensor() if isinstance(value, DTensor) else value
