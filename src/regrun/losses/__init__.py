"""Classification losses: functions of logits and targets."""

from regrun.losses.base import ClassificationLoss
from regrun.losses.cross_entropy import CrossEntropy, SoftmaxCrossEntropy, StableMaxCrossEntropy
from regrun.losses.noisy_labels import Bootstrap, ForwardCorrection, GeneralizedCrossEntropy
from regrun.losses.pairwise import BayesianRanking, PairwiseSoftmax
from regrun.losses.sparse_softmax import SparseSoftmaxLoss
from regrun.losses.sparsemax import SparsemaxLoss
from regrun.losses.squared_error import SquaredError
from regrun.losses.z_loss import ZLoss

__all__ = [
    "BayesianRanking",
    "Bootstrap",
    "ClassificationLoss",
    "CrossEntropy",
    "ForwardCorrection",
    "GeneralizedCrossEntropy",
    "PairwiseSoftmax",
    "SoftmaxCrossEntropy",
    "SparseSoftmaxLoss",
    "SparsemaxLoss",
    "SquaredError",
    "StableMaxCrossEntropy",
    "ZLoss",
]
