"""Maps from scores to weights: functions of scores alone, for a network's output and for attention."""

from regrun.contracts.probability_map import ProbabilityMap
from regrun.probability_maps.softmax import Softmax
from regrun.probability_maps.softpick import Softpick
from regrun.probability_maps.sparse_softmax import SparseSoftmax
from regrun.probability_maps.sparsemax import Sparsemax, sparsemax
from regrun.probability_maps.spherical import SphericalSoftmax, TaylorSoftmax
from regrun.probability_maps.stablemax import StableMax, log_stablemax, stablemax

__all__ = [
    "ProbabilityMap",
    "Softmax",
    "Softpick",
    "SparseSoftmax",
    "Sparsemax",
    "SphericalSoftmax",
    "StableMax",
    "TaylorSoftmax",
    "log_stablemax",
    "sparsemax",
    "stablemax",
]
