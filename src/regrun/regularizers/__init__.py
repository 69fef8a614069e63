"""Regularizers: whatever shapes training beyond plain loss minimization."""

from regrun.regularizers.base import Regularizer, Step
from regrun.regularizers.co_teaching import CoTeaching
from regrun.regularizers.elr import EarlyLearning
from regrun.regularizers.feature_dropout import FeatureDropout, NestedDropout
from regrun.regularizers.l1 import L1
from regrun.regularizers.label_smoothing import LabelSmoothing
from regrun.regularizers.mixup import CutMix, Mixup
from regrun.regularizers.noisy_label_losses import Bootstrap, ForwardCorrection, GeneralizedCrossEntropy
from regrun.regularizers.perp_grad import PerpGrad
from regrun.regularizers.softmax import SoftmaxCrossEntropy
from regrun.regularizers.stablemax import StableMax
from regrun.regularizers.weight_averaging import WeightAveraging
from regrun.regularizers.weight_decay import WeightDecay

__all__ = [
    "L1",
    "Bootstrap",
    "CoTeaching",
    "CutMix",
    "EarlyLearning",
    "FeatureDropout",
    "ForwardCorrection",
    "GeneralizedCrossEntropy",
    "LabelSmoothing",
    "Mixup",
    "NestedDropout",
    "PerpGrad",
    "Regularizer",
    "SoftmaxCrossEntropy",
    "StableMax",
    "Step",
    "WeightAveraging",
    "WeightDecay",
]
