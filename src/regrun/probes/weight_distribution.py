"""How the weights of layers are distributed."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.share import share
from regrun.probes.base import Probe
from regrun.regularizers.norm_loss import LAYERS


class WeightDistribution(Probe):
    """Statistics of the effective weights of convolutions and linear layers.

    ``weight_extreme`` is the largest magnitude over the standard deviation, of the layer where that is
    largest; ``weight_kurtosis`` the mean over layers of the kurtosis, 3 for a Gaussian; ``near_zero`` the
    share of weights within a tenth of a standard deviation; ``row_norm_distance`` the mean distance of a
    row's norm from 1; ``row_condition`` the largest condition number of a layer's matrix of rows. All are
    ``nan`` if a weight is; the first three, too, of a layer whose weights are all the same.
    """

    metrics = ("weight_extreme", "weight_kurtosis", "near_zero", "row_norm_distance", "row_condition")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        layers = [m.weight.double() for m in task.model.modules() if isinstance(m, LAYERS)]
        if not layers or any(bool(w.isnan().any()) for w in layers):
            return dict.fromkeys(self.metrics, float("nan"))
        deviations = [w.std(correction=0) for w in layers]
        standard = [(w / s).flatten() for w, s in zip(layers, deviations, strict=True)]
        rows = torch.cat([w.flatten(1).norm(dim=1) for w in layers])
        spectra = [torch.linalg.svdvals(w.flatten(1)) for w in layers]
        return {
            "weight_extreme": torch.stack([w.abs().amax() for w in standard]).amax(),
            "weight_kurtosis": torch.stack([(w - w.mean()).pow(4).mean() for w in standard]).mean(),
            "near_zero": share(torch.cat(standard).abs() < 0.1, torch.cat(standard)),
            "row_norm_distance": (1 - rows).abs().mean(),
            "row_condition": torch.stack([s[0] / s[-1] for s in spectra]).amax(),
        }
