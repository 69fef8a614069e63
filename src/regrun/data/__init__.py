"""Datasets: a task's samples as tensors in memory."""

from regrun.data.base import Batch, Dataset, Features, InputSpec, Samples, Splits, Tokens
from regrun.data.modular_arithmetic import ModularArithmetic
from regrun.data.sparse_parity import SparseParity
from regrun.data.stream import BatchList, BatchStream

__all__ = [
    "Batch",
    "BatchList",
    "BatchStream",
    "Dataset",
    "Features",
    "InputSpec",
    "ModularArithmetic",
    "Samples",
    "SparseParity",
    "Splits",
    "Tokens",
]
