"""Measures of networks as functions of tensors and models; probes take them during training."""

from regrun.measures.codes import codes_of, hamming_neighbours, redundancy_ratio, regions_between, vote
from regrun.measures.collapse import Scatter, cosines, scatter
from regrun.measures.fourier import inverse_participation_ratio
from regrun.measures.information import adaptive_codes, code_entropy, code_information, kernel_entropy
from regrun.measures.jacobian import centroid_alignment, input_jacobian
from regrun.measures.kernel import empirical_ntk, kernel_cosine, target_alignment
from regrun.measures.lanczos import hutchinson, lanczos, random_signs, spectral_density, top_eigenvalues
from regrun.measures.landscape import Landscape
from regrun.measures.looking import activations, measuring
from regrun.measures.outliers import massive_count, sink_share, top_ratio
from regrun.measures.redundancy import distinct_units, sparsity_coefficient
from regrun.measures.slope import log_slope
from regrun.measures.spectrum import (
    diffusion_information,
    diffusion_spectral_entropy,
    effective_rank,
    stable_rank,
)

__all__ = [
    "Landscape",
    "Scatter",
    "activations",
    "adaptive_codes",
    "centroid_alignment",
    "code_entropy",
    "code_information",
    "codes_of",
    "cosines",
    "diffusion_information",
    "diffusion_spectral_entropy",
    "distinct_units",
    "effective_rank",
    "empirical_ntk",
    "hamming_neighbours",
    "hutchinson",
    "input_jacobian",
    "inverse_participation_ratio",
    "kernel_cosine",
    "kernel_entropy",
    "lanczos",
    "log_slope",
    "massive_count",
    "measuring",
    "random_signs",
    "redundancy_ratio",
    "regions_between",
    "scatter",
    "sink_share",
    "sparsity_coefficient",
    "spectral_density",
    "stable_rank",
    "target_alignment",
    "top_eigenvalues",
    "top_ratio",
    "vote",
]
