"""Mutual information of each layer with the input and the label."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.information import adaptive_codes, code_information, kernel_entropy
from regrun.measures.looking import activation_layers, activations
from regrun.measures.share import unless_nan
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe, need_classes


class LayerInformation(SampleProbe):
    """Mutual information of each layer of activations with input and label, in bits.

    By adaptive binning, ``input_information/layer=k`` and ``label_information/layer=k``; by a kernel whose
    noise scales with the layer, ``kernel_information/layer=k``, an upper bound. ``compression/layer=k`` is by
    how much the binned information with the input has fallen below its peak so far, and ``compression`` the
    sum over layers. Chelombiev et al., arXiv 1902.09037. Costs one pass, sorting, and ``kernel_samples^2``
    distances for each layer. Binning tells nothing of layers so wide that all samples differ. ``nan`` of a
    layer with an activation that is.

    Args:
        samples: number of samples.
        bins: number of bins of the adaptive binning.
        noise: variance of the kernel, for a layer whose largest activation is 1.
        kernel_samples: number of samples for the kernel's distances.
        every: evaluations from one measurement to the next.
    """

    metrics = ("input_information", "label_information", "kernel_information", "compression")
    peak: Tensor

    def __init__(
        self,
        samples: int = 4096,
        bins: int = 30,
        noise: float = 1e-3,
        kernel_samples: int = 1000,
        every: int = 1,
    ) -> None:
        super().__init__(samples, every)
        if min(bins, kernel_samples) < 2 or not 0 < noise < math.inf:
            raise ValueError(
                "bins and kernel_samples must be at least 2 and noise above 0, "
                f"got {bins}, {kernel_samples} and {noise}"
            )
        self.bins = bins
        self.noise = noise
        self.kernel_samples = kernel_samples

    def attach(self, task: Task, trial: Trial) -> None:
        need_classes(task)
        layers = activation_layers(task.model)
        if not layers:
            raise ProbeError("the model has no activation functions that are modules")
        self.register_buffer("peak", torch.zeros(len(layers), dtype=torch.float64))

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, clean = self.batch(task)
        row: dict[str, float | Tensor] = {}
        told = torch.zeros_like(self.peak)
        for k, t in enumerate(activations(task.model, batch.x).values()):
            t = t.flatten(1)
            found = code_information(adaptive_codes(t, self.bins), clean)
            told[k], about_label = (unless_nan(bits, t) for bits in found)
            row[f"input_information/layer={k + 1}"] = told[k]
            row[f"label_information/layer={k + 1}"] = about_label
            row[f"kernel_information/layer={k + 1}"] = kernel_entropy(t[: self.kernel_samples], self.noise)
        self.peak.copy_(torch.maximum(self.peak, told))
        fallen = self.peak - told
        row |= {f"compression/layer={k}": value for k, value in enumerate(fallen, 1)}
        return row | {"compression": fallen.sum()}
