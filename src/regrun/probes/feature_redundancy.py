"""How many features of a layer say the same."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.redundancy import distinct_units, sparsity_coefficient
from regrun.measures.share import unless_nan
from regrun.probes.base import Trial
from regrun.probes.samples import SampleProbe, need_features


class FeatureRedundancy(SampleProbe):
    """Penultimate features of which one is, up to a factor, as good as the other.

    ``distinct_features`` is the share of the features that is left if those whose absolute correlation
    exceeds ``threshold`` count as one; ``feature_sparsity`` the share of (sample, feature) pairs that is
    active then (Andriushchenko et al., arXiv 2210.05337); both ``nan`` if a feature is. Costs one pass over
    ``samples`` samples and ``width^2`` correlations.

    Args:
        samples: number of samples.
        threshold: threshold of the absolute correlation.
        every: evaluations from one measurement to the next.
    """

    metrics = ("distinct_features", "feature_sparsity")

    def __init__(self, samples: int = 1000, threshold: float = 0.95, every: int = 1) -> None:
        super().__init__(samples, every)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold}")
        self.threshold = threshold

    def attach(self, task: Task, trial: Trial) -> None:
        need_features(trial)

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        features = self.look(task).output.features
        assert features is not None
        distinct = distinct_units(features, self.threshold) / features.shape[1]
        return {
            "distinct_features": unless_nan(features.new_tensor(distinct, dtype=torch.float64), features),
            "feature_sparsity": sparsity_coefficient(features, self.threshold),
        }
