"""Datasets: a task's samples as tensors in memory."""

from regrun.data.base import Batch, Dataset, Features, Images, InputSpec, Samples, Splits, Tokens
from regrun.data.image_folder import ImageFolder
from regrun.data.images import ImageDataset
from regrun.data.label_file import LabelFile
from regrun.data.label_noise import (
    AsymmetricNoise,
    CleanLabels,
    InstanceDependentNoise,
    LabelNoise,
    PairFlip,
    RandomLabels,
    SymmetricNoise,
)
from regrun.data.modular_arithmetic import ModularArithmetic
from regrun.data.pixels import GaussianPixels, OriginalPixels, RandomPixels, ShuffledPixels
from regrun.data.sparse_parity import SparseParity
from regrun.data.stream import BatchList, BatchStream
from regrun.data.torchvision_images import CIFAR10, CIFAR100, KMNIST, MNIST, SVHN, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "SVHN",
    "AsymmetricNoise",
    "Batch",
    "BatchList",
    "BatchStream",
    "CleanLabels",
    "Dataset",
    "FashionMNIST",
    "Features",
    "GaussianPixels",
    "ImageDataset",
    "ImageFolder",
    "Images",
    "InputSpec",
    "InstanceDependentNoise",
    "LabelFile",
    "LabelNoise",
    "ModularArithmetic",
    "OriginalPixels",
    "PairFlip",
    "RandomLabels",
    "RandomPixels",
    "Samples",
    "ShuffledPixels",
    "SparseParity",
    "Splits",
    "SymmetricNoise",
    "Tokens",
]
