"""Calibration after fitting one temperature."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from regrun.contracts.output import as_output
from regrun.contracts.samples import Samples
from regrun.contracts.task import Task
from regrun.data.stream import BatchList
from regrun.measures.calibration import uniform_reliability
from regrun.measures.looking import measuring
from regrun.probes.base import Probe, ProbeError, Trial
from regrun.probes.samples import need_classes


class TemperatureScaling(Probe):
    """Softmax at the temperature that makes the validation split likeliest, on the test split.

    ``temperature`` from 0.05 to 20, ``scaled_calibration_error`` in bins of equal width, and ``scaled_nll``.
    Costs a pass over both splits without gradients. Guo et al., arXiv 1706.04599.

    Args:
        bins: number of bins.
        every: evaluations from one measurement to the next.
    """

    metrics = ("temperature", "scaled_calibration_error", "scaled_nll")

    def __init__(self, bins: int = 15, every: int = 1) -> None:
        super().__init__()
        if bins < 1 or every < 1:
            raise ValueError(f"bins and every must be at least 1, got {bins} and {every}")
        self.bins = bins
        self.every = every

    def attach(self, task: Task, trial: Trial) -> None:
        need_classes(task)
        if task.splits_on_device().validation is None:
            raise ProbeError("there is no validation split to fit a temperature to; set dataset.validation")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        splits = task.splits_on_device()
        assert splits.validation is not None
        temperature = fit_temperature(logits_of(task, splits.validation), splits.validation.y)
        z, y = logits_of(task, splits.test) / temperature, splits.test.y
        confidence, predicted = z.softmax(1).max(1)
        return {
            "temperature": temperature,
            "scaled_calibration_error": uniform_reliability(confidence, predicted == y, self.bins).error,
            "scaled_nll": F.cross_entropy(z, y),
        }


def fit_temperature(logits: Tensor, y: Tensor) -> float:
    """The temperature from 0.05 to 20 at which softmax makes the labels likeliest; ``nan`` if a logit is."""
    if bool(logits.isnan().any()):
        return math.nan
    found = minimize_scalar(
        lambda log_t: float(F.cross_entropy(logits / math.exp(log_t), y)),
        bounds=(math.log(0.05), math.log(20)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return math.exp(found.x)


def logits_of(task: Task, samples: Samples) -> Tensor:
    """The logits of every sample of a split, in evaluation mode, in float64."""
    with measuring(task.model), torch.no_grad():
        return torch.cat(
            [
                as_output(task.model(task.inputs.prepare(batch.x))).logits.double()
                for batch in BatchList(samples, 1000)
            ]
        )
