"""Regularizers: whatever shapes training beyond plain loss minimization."""

from regrun.regularizers.base import Regularizer, Step
from regrun.regularizers.l1 import L1
from regrun.regularizers.perp_grad import PerpGrad
from regrun.regularizers.softmax import SoftmaxCrossEntropy
from regrun.regularizers.stablemax import StableMax
from regrun.regularizers.weight_decay import WeightDecay

__all__ = [
    "L1",
    "PerpGrad",
    "Regularizer",
    "SoftmaxCrossEntropy",
    "StableMax",
    "Step",
    "WeightDecay",
]
