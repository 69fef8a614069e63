"""The linear regions that samples lie in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.inputs import Tokens
from regrun.contracts.task import Task
from regrun.measures.codes import codes_of, redundancy_ratio, regions_between
from regrun.measures.looking import activation_layers, activations
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe


class ActivationCodes(SampleProbe):
    """The patterns of active units over all activation functions.

    ``code_redundancy`` is the share of samples whose pattern another one has already: 0 where each lies in a
    linear region of its own (He et al., arXiv 2101.06490). ``active_share`` is the share of units that are
    active, over samples; ``dead_units`` of those that are for none. ``linear_regions`` counts those on the
    straight line between two samples, averaged over ``pairs`` (Novak et al., arXiv 1802.08760), where inputs
    are real. All are ``nan`` if an activation is. Costs one pass over ``samples`` samples and ``points``
    passes over ``pairs``.

    Args:
        samples: number of samples.
        pairs: number of pairs of samples.
        points: on a line.
        every: evaluations from one measurement to the next.
    """

    metrics = ("code_redundancy", "active_share", "dead_units", "linear_regions")

    def __init__(self, samples: int = 1000, pairs: int = 16, points: int = 64, every: int = 1) -> None:
        super().__init__(samples, every)
        if pairs < 1 or points < 2:
            raise ValueError(f"pairs must be at least 1 and points at least 2, got {pairs} and {points}")
        self.pairs = pairs
        self.points = points

    def attach(self, task: Task, trial: Trial) -> None:
        if not activation_layers(task.model):
            raise ProbeError("the model has no activation functions that are modules")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        layers = activations(task.model, batch.x)
        codes = codes_of(layers)
        row: dict[str, float | Tensor] = {
            "code_redundancy": redundancy_ratio(codes),
            "active_share": codes.double().mean(),
            "dead_units": (~codes.any(0)).double().mean(),
        }
        if not isinstance(task.inputs, Tokens):
            pairs = min(self.pairs, len(codes) // 2)
            starts, ends = batch.x[:pairs], batch.x[pairs : 2 * pairs]
            row["linear_regions"] = regions_between(task.model, starts, ends, self.points).mean()
        unknown = any(bool(t.isnan().any()) for t in layers.values())
        return dict.fromkeys(row, math.nan) if unknown else row
