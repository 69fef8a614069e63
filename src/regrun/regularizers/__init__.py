"""Regularizers: whatever shapes training beyond plain loss minimization."""

from regrun.regularizers.base import Regularizer, Step
from regrun.regularizers.block_gradient_norm import BlockGradientNorm
from regrun.regularizers.class_centres import ClassCentres
from regrun.regularizers.clip_gradient import ClipGradient
from regrun.regularizers.co_teaching import CoTeaching
from regrun.regularizers.deferred_reweighting import DeferredReweighting
from regrun.regularizers.elr import EarlyLearning
from regrun.regularizers.feature_dropout import FeatureDropout, NestedDropout
from regrun.regularizers.jacobian_norm import JacobianNorm
from regrun.regularizers.l1 import L1
from regrun.regularizers.label_smoothing import LabelSmoothing
from regrun.regularizers.latent_kl import LatentKL
from regrun.regularizers.local_error import LocalError
from regrun.regularizers.mixup import CutMix, Mixup
from regrun.regularizers.noisy_label_losses import Bootstrap, ForwardCorrection, GeneralizedCrossEntropy
from regrun.regularizers.perp_grad import PerpGrad
from regrun.regularizers.softmax import SoftmaxCrossEntropy
from regrun.regularizers.solver_heuristics import SolverErrorPenalty, SolverStiffnessPenalty
from regrun.regularizers.squared_error import SquaredError
from regrun.regularizers.stablemax import StableMax
from regrun.regularizers.steer import Steer
from regrun.regularizers.trajectory_costs import RNODE, TayNODE
from regrun.regularizers.weight_averaging import WeightAveraging
from regrun.regularizers.weight_decay import WeightDecay

__all__ = [
    "L1",
    "RNODE",
    "BlockGradientNorm",
    "Bootstrap",
    "ClassCentres",
    "ClipGradient",
    "CoTeaching",
    "CutMix",
    "DeferredReweighting",
    "EarlyLearning",
    "FeatureDropout",
    "ForwardCorrection",
    "GeneralizedCrossEntropy",
    "JacobianNorm",
    "LabelSmoothing",
    "LatentKL",
    "LocalError",
    "Mixup",
    "NestedDropout",
    "PerpGrad",
    "Regularizer",
    "SoftmaxCrossEntropy",
    "SolverErrorPenalty",
    "SolverStiffnessPenalty",
    "SquaredError",
    "StableMax",
    "Steer",
    "Step",
    "TayNODE",
    "WeightAveraging",
    "WeightDecay",
]
