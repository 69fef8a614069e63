"""The frequencies that neurons of a network on residues respond to."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.fourier import dominant_frequency, inverse_participation_ratio
from regrun.models.residues import residue_functions
from regrun.probes.base import Probe, ProbeError, Trial


class FourierContent(Probe):
    """Inverse participation ratios of the neurons' weights over residues.

    ``ipr`` is the mean over neurons and ``median_ipr`` the median: near 1 a neuron's weights are a single
    wave, as in networks that generalize; low where it memorizes. A neuron's ratio is the mean over the
    functions of a residue that it has: of its incoming weights for each operand and, where the head reads it
    directly, of its outgoing ones. ``ipr_histogram/ipr=v`` is the share of neurons in a bin around ``v``.
    ``frequencies`` is how many different frequencies dominate a neuron. All are ``nan`` if a weight is. Costs
    a Fourier transform of the weights. Doshi et al., arXiv 2310.13061.

    Args:
        bins: number of bins of the histogram.
        every: evaluations from one measurement to the next.
    """

    metrics = ("ipr", "median_ipr", "ipr_histogram", "frequencies")

    def __init__(self, bins: int = 20, every: int = 1) -> None:
        super().__init__()
        if bins < 2 or every < 1:
            raise ValueError(f"bins must be at least 2 and every at least 1, got {bins} and {every}")
        self.bins = bins
        self.every = every

    def attach(self, task: Task, trial: Trial) -> None:
        if not residue_functions(task.model):
            raise ProbeError("the model reads no symbols through a first layer or an embedding")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        functions = residue_functions(task.model)
        ratios = torch.stack([inverse_participation_ratio(rows) for rows in functions]).mean(0)
        shares = torch.histc(ratios, self.bins, 0, 1) / len(ratios)
        row: dict[str, float | Tensor] = {
            f"ipr_histogram/ipr={(k + 0.5) / self.bins:.3g}": share for k, share in enumerate(shares)
        }
        row |= {
            "ipr": ratios.mean(),
            "median_ipr": ratios.quantile(0.5),
            "frequencies": float(len(dominant_frequency(functions[0]).unique())),
        }
        return dict.fromkeys(row, math.nan) if bool(ratios.isnan().any()) else row
