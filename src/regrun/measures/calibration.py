"""Calibration of probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.measures.share import unless_nan


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of their confidence.

    If one confidence is ``nan``, everything but the counts is ``nan``, since its bin is unknown.

    Attributes:
        confidence: the mean in each bin, ``(bins,)``, ascending; ``nan`` in an empty one.
        accuracy: the share of each bin that is right.
        count: predictions in each bin.
    """

    confidence: Tensor
    accuracy: Tensor
    count: Tensor

    @property
    def error(self) -> Tensor:
        """The expected calibration error: the mean distance of confidence and accuracy.

        Guo et al., arXiv 1706.04599. Biased upwards where bins are small.
        """
        return self._mean((self.confidence - self.accuracy).abs())

    @property
    def debiased_error(self) -> Tensor:
        """The root of the mean squared distance, debiased for the noise of each bin's accuracy.

        ``sum_b n_b / n ((conf_b - acc_b)^2 - acc_b (1 - acc_b) / (n_b - 1))``, at least 0; bins of one are
        left out. Kumar et al., arXiv 1909.10155.
        """
        noise = self.accuracy * (1 - self.accuracy) / (self.count - 1).clamp_min(1)
        squares = ((self.confidence - self.accuracy).square() - noise) * (self.count > 1)
        return self._mean(squares).clamp_min(0).sqrt()

    def _mean(self, values: Tensor) -> Tensor:
        return (self.count * values).where(self.count > 0, 0).sum() / self.count.sum()


def reliability(confidence: Tensor, right: Tensor, bins: int = 15) -> Reliability:
    """Predictions in bins that hold equally many of them, one more or less; equal confidences share a bin.

    An edge that would fall among equal confidences lies behind the last of them, as in Kumar et al.'s code
    (arXiv 1909.10155) and in scikit-learn's ``calibration_curve``. The bins do not depend on the samples'
    order, then, and are fewer or unequal where many confidences are equal.

    Args:
        confidence: confidence of each prediction, ``(n,)``.
        right: bool, ``(n,)``.
        bins: maximum number of bins.
    """
    ordered = confidence.double().sort(stable=True)
    sizes = [len(part) for part in ordered.values.tensor_split(bins) if len(part)]
    cuts = torch.tensor(sizes, device=confidence.device).cumsum(0)[:-1]
    cuts = torch.searchsorted(ordered.values, ordered.values[cuts - 1], right=True).unique()
    edges = [cut for cut in cuts.tolist() if 0 < cut < len(confidence)]
    parts = ordered.values.tensor_split(edges)
    rights = right[ordered.indices].double().tensor_split(edges)
    return Reliability(
        unless_nan(torch.stack([part.mean() for part in parts]), confidence),
        unless_nan(torch.stack([part.mean() for part in rights]), confidence),
        torch.tensor([len(part) for part in parts], dtype=torch.float64, device=confidence.device),
    )


def uniform_reliability(confidence: Tensor, right: Tensor, bins: int = 15) -> Reliability:
    """Predictions in bins of equal width."""
    place = (confidence.double().nan_to_num() * bins).long().clamp(0, bins - 1)

    def total(values: Tensor) -> Tensor:
        return torch.zeros(bins, dtype=torch.float64, device=place.device).index_add_(
            0, place, values.double()
        )

    count = total(torch.ones_like(confidence))
    mean, accuracy = (unless_nan(total(values) / count, confidence) for values in (confidence, right))
    return Reliability(mean, accuracy, count)


def classwise_error(p: Tensor, y: Tensor, bins: int = 15) -> Tensor:
    """The mean over classes of the calibration error of each class's own probability, in bins of equal width.

    ``nan`` if a probability is. Kull et al., arXiv 1910.12656.

    Args:
        p: probabilities, ``(n, classes)``.
        y: class indices, ``(n,)``.
        bins: number of bins of equal width.
    """
    classes = p.shape[1]
    place = (p.double().nan_to_num() * bins).long().clamp(0, bins - 1)
    place += bins * torch.arange(classes, device=p.device)
    right = torch.nn.functional.one_hot(y, classes).double()
    away = torch.zeros(bins * classes, dtype=torch.float64, device=p.device)
    away.index_add_(0, place.flatten(), (right - p.double()).flatten())
    return away.abs().sum() / (len(p) * classes)


def brier_score(p: Tensor, y: Tensor) -> Tensor:
    """The mean squared distance of probabilities and one-hot labels, from 0 to 2."""
    return (p.double() - torch.nn.functional.one_hot(y, p.shape[1])).square().sum(1).mean()


def risk_coverage_area(confidence: Tensor, right: Tensor) -> Tensor:
    """The mean share of errors among the most confident predictions, over all numbers of them (AURC).

    Of equally confident ones it is the expectation over their random order, so that the samples' order does
    not matter: each has its ties' share of errors. ``nan`` if a confidence is. Geifman et al., arXiv
    1805.08206.
    """
    ordered = confidence.sort(descending=True, stable=True)
    wrong = (~right[ordered.indices]).double()
    _, tie, sizes = torch.unique_consecutive(ordered.values, return_inverse=True, return_counts=True)
    shares = torch.zeros_like(sizes, dtype=torch.float64).index_add_(0, tie, wrong) / sizes
    counts = torch.arange(1, len(wrong) + 1, dtype=torch.float64, device=wrong.device)
    return unless_nan((shares[tie].cumsum(0) / counts).mean(), confidence)
