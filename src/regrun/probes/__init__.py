"""Probes: measurements taken while training, which never change it."""

from regrun.probes.base import Probe
from regrun.probes.calibration import Calibration
from regrun.probes.feature_spectrum import FeatureSpectrum
from regrun.probes.gradient_alignment import GradientAlignment
from regrun.probes.logit_scale import LogitScale
from regrun.probes.margins import Margins
from regrun.probes.memorization import Memorization
from regrun.probes.softmax_collapse import SoftmaxCollapse
from regrun.probes.solver import SolverCost
from regrun.probes.solver_profile import SolverProfile
from regrun.probes.weight_norms import WeightNorms

__all__ = [
    "Calibration",
    "FeatureSpectrum",
    "GradientAlignment",
    "LogitScale",
    "Margins",
    "Memorization",
    "Probe",
    "SoftmaxCollapse",
    "SolverCost",
    "SolverProfile",
    "WeightNorms",
]
