"""Fully sharded training: weights, gradients and optimizer states are split over processes."""

from __future__ import annotations

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard


class FullySharded(ModelParallelStrategy):
    """FSDP2 over all processes, on GPUs or, with gloo, on CPUs.

    A checkpoint is one file with whole weights, which any number of processes can resume from.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Shard a model's weights, block by block if it is a stack of blocks."""
    for blocks in model.modules():
        if isinstance(blocks, nn.ModuleList | nn.Sequential):
            for block in blocks:
                if any(True for _ in block.parameters()):
                    fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
