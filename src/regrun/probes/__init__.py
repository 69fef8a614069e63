"""Probes: measurements taken while training, which never change it."""

from regrun.probes.activation_codes import ActivationCodes
from regrun.probes.attention_patterns import AttentionPatterns
from regrun.probes.base import Probe, ProbeError
from regrun.probes.block_gradients import BlockGradients
from regrun.probes.calibration import Calibration
from regrun.probes.class_spread import ClassSpread
from regrun.probes.feature_redundancy import FeatureRedundancy
from regrun.probes.feature_spectrum import FeatureSpectrum
from regrun.probes.fourier_content import FourierContent
from regrun.probes.gradient_alignment import GradientAlignment
from regrun.probes.gradient_noise import GradientNoise
from regrun.probes.hessian_density import HessianDensity
from regrun.probes.hessian_spectrum import GaussNewtonSpectrum, HessianSpectrum
from regrun.probes.input_jacobian import InputJacobian
from regrun.probes.layer_information import LayerInformation
from regrun.probes.logit_range import LogitRange
from regrun.probes.logit_scale import LogitScale
from regrun.probes.margins import Margins
from regrun.probes.massive_activations import AttentionSinks, MassiveActivations
from regrun.probes.memorization import Memorization
from regrun.probes.neural_collapse import NeuralCollapse
from regrun.probes.noisy_saturation import NoisySaturation
from regrun.probes.relevant_inputs import RelevantInputs
from regrun.probes.smoothing_variance import SmoothingVariance
from regrun.probes.softmax_collapse import SoftmaxCollapse
from regrun.probes.solver import SolverCost
from regrun.probes.solver_profile import SolverProfile
from regrun.probes.spectral_entropy import SpectralEntropy
from regrun.probes.tangent_kernel import TangentKernel
from regrun.probes.temperature_scaling import TemperatureScaling
from regrun.probes.top_k import TopK
from regrun.probes.weight_distribution import WeightDistribution
from regrun.probes.weight_geometry import WeightGeometry
from regrun.probes.weight_norms import WeightNorms

__all__ = [
    "ActivationCodes",
    "AttentionPatterns",
    "AttentionSinks",
    "BlockGradients",
    "Calibration",
    "ClassSpread",
    "FeatureRedundancy",
    "FeatureSpectrum",
    "FourierContent",
    "GaussNewtonSpectrum",
    "GradientAlignment",
    "GradientNoise",
    "HessianDensity",
    "HessianSpectrum",
    "InputJacobian",
    "LayerInformation",
    "LogitRange",
    "LogitScale",
    "Margins",
    "MassiveActivations",
    "Memorization",
    "NeuralCollapse",
    "NoisySaturation",
    "Probe",
    "ProbeError",
    "RelevantInputs",
    "SmoothingVariance",
    "SoftmaxCollapse",
    "SolverCost",
    "SolverProfile",
    "SpectralEntropy",
    "TangentKernel",
    "TemperatureScaling",
    "TopK",
    "WeightDistribution",
    "WeightGeometry",
    "WeightNorms",
]
