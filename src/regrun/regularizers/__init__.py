"""Regularizers: whatever shapes training beyond plain loss minimization."""

from regrun.contracts.task import Step
from regrun.regularizers.angular_head import AngularHead
from regrun.regularizers.base import Regularizer
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
from regrun.regularizers.lawn import LogitAttenuation
from regrun.regularizers.local_error import LocalError
from regrun.regularizers.logit_margin import AdaptiveConditionalSmoothing, LogitMargin
from regrun.regularizers.loss import Loss
from regrun.regularizers.max_suppression import MaxSuppression, SmoothingGaps
from regrun.regularizers.mixup import CutMix, Mixup
from regrun.regularizers.noisy_softmax import NoisySoftmax
from regrun.regularizers.norm_loss import NormLoss
from regrun.regularizers.perp_grad import PerpGrad
from regrun.regularizers.progressive_targets import ProgressiveTargets
from regrun.regularizers.region_labels import RegionLabels
from regrun.regularizers.soft_targets import SoftTargets
from regrun.regularizers.solver_heuristics import SolverErrorPenalty, SolverStiffnessPenalty
from regrun.regularizers.steer import Steer
from regrun.regularizers.trajectory_costs import RNODE, TayNODE
from regrun.regularizers.weight_averaging import WeightAveraging
from regrun.regularizers.weight_compander import WeightCompander
from regrun.regularizers.weight_decay import WeightDecay

__all__ = [
    "L1",
    "RNODE",
    "AdaptiveConditionalSmoothing",
    "AngularHead",
    "BlockGradientNorm",
    "ClassCentres",
    "ClipGradient",
    "CoTeaching",
    "CutMix",
    "DeferredReweighting",
    "EarlyLearning",
    "FeatureDropout",
    "JacobianNorm",
    "LabelSmoothing",
    "LatentKL",
    "LocalError",
    "LogitAttenuation",
    "LogitMargin",
    "Loss",
    "MaxSuppression",
    "Mixup",
    "NestedDropout",
    "NoisySoftmax",
    "NormLoss",
    "PerpGrad",
    "ProgressiveTargets",
    "RegionLabels",
    "Regularizer",
    "SmoothingGaps",
    "SoftTargets",
    "SolverErrorPenalty",
    "SolverStiffnessPenalty",
    "Steer",
    "Step",
    "TayNODE",
    "WeightAveraging",
    "WeightCompander",
    "WeightDecay",
]
