"""Datasets: a task's samples as tensors in memory."""

from regrun.contracts.batch import Batch
from regrun.contracts.criterion import Criterion
from regrun.contracts.inputs import Features, Images, InitialStates, InputSpec, Series, Tokens
from regrun.contracts.samples import Samples, Splits
from regrun.data.back_copy import BackCopy
from regrun.data.base import Dataset
from regrun.data.binary_patterns import BinaryPatterns
from regrun.data.criteria import Classification, NextToken, ObservedSeries, Regression
from regrun.data.crops import StoredCrops, TrainPart
from regrun.data.derived import Downsampled, LongTailed
from regrun.data.digits import Digits
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
from regrun.data.permutation_group import PermutationGroup
from regrun.data.physionet2012 import PhysioNet2012
from regrun.data.pixels import GaussianPixels, OriginalPixels, RandomPixels, ShuffledPixels
from regrun.data.prototypes import Prototypes
from regrun.data.series import ETTh1, IrregularSinusoids
from regrun.data.sparse_parity import SparseParity
from regrun.data.spiral import Spiral
from regrun.data.stream import BatchList, BatchStream
from regrun.data.synthetic_regression import PolynomialRegression, SparseRegression, StudentTeacher
from regrun.data.text import TinyShakespeare
from regrun.data.torchvision_images import CIFAR10, CIFAR100, KMNIST, MNIST, SVHN, FashionMNIST
from regrun.data.unit_range import UnitRange
from regrun.data.words import ShakespeareWords

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "SVHN",
    "AsymmetricNoise",
    "BackCopy",
    "Batch",
    "BatchList",
    "BatchStream",
    "BinaryPatterns",
    "Classification",
    "CleanLabels",
    "Criterion",
    "Dataset",
    "Digits",
    "Downsampled",
    "ETTh1",
    "FashionMNIST",
    "Features",
    "GaussianPixels",
    "ImageDataset",
    "ImageFolder",
    "Images",
    "InitialStates",
    "InputSpec",
    "InstanceDependentNoise",
    "IrregularSinusoids",
    "LabelFile",
    "LabelNoise",
    "LongTailed",
    "ModularArithmetic",
    "NextToken",
    "ObservedSeries",
    "OriginalPixels",
    "PairFlip",
    "PermutationGroup",
    "PhysioNet2012",
    "PolynomialRegression",
    "Prototypes",
    "RandomLabels",
    "RandomPixels",
    "Regression",
    "Samples",
    "Series",
    "ShakespeareWords",
    "ShuffledPixels",
    "SparseParity",
    "SparseRegression",
    "Spiral",
    "Splits",
    "StoredCrops",
    "StudentTeacher",
    "SymmetricNoise",
    "TinyShakespeare",
    "Tokens",
    "TrainPart",
    "UnitRange",
]
