"""Diffusion spectral entropy of features, and its mutual information with labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.spectrum import diffusion_information
from regrun.probes.base import Trial
from regrun.probes.samples import SampleProbe, need_classes, need_features


class SpectralEntropy(SampleProbe):
    """Entropy of a diffusion on the penultimate features, in bits.

    ``spectral_entropy`` is that of all samples, ``spectral_information`` its mutual information with the true
    labels, and ``matched_spectral_information`` the form that compares sets of one size. Costs about
    ``4 samples^3`` operations: 0.4 s for 1000. Liu et al., arXiv 2312.04823.

    Args:
        samples: number of samples.
        sigma: width of the kernel, in units of the features.
        time: steps of diffusion.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = ("spectral_entropy", "spectral_information", "matched_spectral_information")

    def __init__(
        self,
        samples: int = 1000,
        sigma: float = 10.0,
        time: int = 1,
        every: int = 1,
        split: str = "test",
    ) -> None:
        super().__init__(samples, every, split)
        if not 0 < sigma < math.inf or time < 1:
            raise ValueError(f"sigma must be above 0 and time at least 1, got {sigma} and {time}")
        self.sigma = sigma
        self.time = time

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_classes(task)
        need_features(trial)

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        seen = self.look(task)
        features = seen.output.features
        assert features is not None
        generator = torch.Generator().manual_seed(0)
        entropy, plain, matched = diffusion_information(
            features, seen.clean, generator, self.sigma, self.time
        )
        return {
            "spectral_entropy": entropy,
            "spectral_information": plain,
            "matched_spectral_information": matched,
        }
