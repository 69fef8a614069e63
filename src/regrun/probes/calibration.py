"""Whether a network is as often right as it says."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.aggregation import CatMetric

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.probability_map import ProbabilityMap
from regrun.contracts.task import Task
from regrun.measures.calibration import (
    brier_score,
    classwise_error,
    reliability,
    risk_coverage_area,
    uniform_reliability,
)
from regrun.measures.share import unless_nan
from regrun.probes.base import Probe, ProbeError, Trial


class Calibration(Probe):
    """Calibration metrics of a split, in float64.

    ``calibration_error`` is the expected calibration error in bins of equal width (Guo et al., arXiv
    1706.04599), ``equal_mass_calibration_error`` that in bins of equally many predictions,
    ``debiased_calibration_error`` the root of the mean squared error without the bias of small bins (Kumar et
    al., arXiv 1909.10155), ``classwise_calibration_error`` the mean over classes of the error of each class's
    own probability. ``brier`` is the mean squared distance to one-hot labels, ``nll`` the mean ``-log p_y``,
    infinite where an exact 0 was true. ``confidence`` is the mean of the largest probability, and
    ``wrong_confidence`` that of wrong predictions; ``risk_coverage_area`` the mean error of the most
    confident (AURC). ``reliability/confidence=c`` is the accuracy in the bin around ``c``, ``nan`` in an
    empty one. Equal confidences share a bin, or a random order (see ``regrun.measures.calibration``); all
    are ``nan`` if a probability is.

    Probabilities are those of the loss that is minimized: softmax's, unless it has its own.

    Args:
        bins: number of bins.
        split: split to measure.
    """

    splits = True
    metrics = (
        "calibration_error",
        "equal_mass_calibration_error",
        "debiased_calibration_error",
        "classwise_calibration_error",
        "brier",
        "nll",
        "confidence",
        "wrong_confidence",
        "risk_coverage_area",
        "reliability",
    )

    probability_map: ProbabilityMap

    def __init__(self, bins: int = 15, split: str = "test") -> None:
        super().__init__()
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
        self.bins = bins
        self.split = split
        self.p = CatMetric(nan_strategy="disable").set_dtype(torch.float64)
        self.y = CatMetric(nan_strategy="disable")

    def attach(self, task: Task, trial: Trial) -> None:
        if "accuracy" not in task.criterion.scores:
            raise ProbeError("the targets are no classes")
        if task.probability_map is None:
            raise ProbeError("the logits of this loss have no probabilities")
        self.probability_map = task.probability_map

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        p: Tensor = self.probability_map(output.logits.double())
        self.p.update(p.flatten(0, -2))
        self.y.update(batch.y.flatten())

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        p, y = torch.as_tensor(self.p.compute()), torch.as_tensor(self.y.compute()).long()
        self.p.reset()
        self.y.reset()
        confidence, predicted = p.max(1)
        right = predicted == y
        uniform = uniform_reliability(confidence, right, self.bins)
        equal_mass = reliability(confidence, right, self.bins)
        row: dict[str, float | Tensor] = {
            "calibration_error": uniform.error,
            "equal_mass_calibration_error": equal_mass.error,
            "debiased_calibration_error": equal_mass.debiased_error,
            "classwise_calibration_error": classwise_error(p, y, self.bins),
            "brier": brier_score(p, y),
            "nll": -p.gather(1, y[:, None]).log().mean(),
            "confidence": confidence.mean(),
            "wrong_confidence": unless_nan(confidence[~right].mean(), confidence),
            "risk_coverage_area": risk_coverage_area(confidence, right),
        }
        for k, value in enumerate(uniform.accuracy):
            row[f"reliability/confidence={(k + 0.5) / self.bins:.3g}"] = value
        return row
