"""Attention to irrelevant positions, and its effect on the residual stream."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.looking import outputs_of
from regrun.measures.outliers import kurtosis
from regrun.measures.share import share
from regrun.probes.base import ProbeError, Trial
from regrun.probes.massive_activations import attention_weights, attentions_of, blocks_of
from regrun.probes.samples import SampleProbe

SINK = 0.3  # average weight of the first position from which a head is said to sink


class AttentionPatterns(SampleProbe):
    """Heads that attend to the first position, weights that are 0, and how heavy-tailed hidden states are.

    ``sink_rate`` is the share of heads whose weight for the first position, averaged over sequences and
    later positions, is above 0.3 (Gu et al., arXiv 2410.10781); ``zero_share`` that of weights of visible
    positions that are exactly 0, in float64, where exponentials do not come to it by underflow.
    ``hidden_kurtosis`` and ``largest_activation`` are the largest over blocks of the kurtosis and of the
    magnitude of the residual stream. Shares are ``nan`` if a weight is. Zuhri et al., arXiv 2504.20966. Costs
    two passes over ``samples`` sequences.

    Args:
        samples: sequences.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = ("sink_rate", "zero_share", "hidden_kurtosis", "largest_activation")

    def __init__(self, samples: int = 64, every: int = 1, split: str = "test") -> None:
        super().__init__(samples, every, split)

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        if not attentions_of(task.model) or not blocks_of(task.model):
            raise ProbeError("the model has no attention whose weights can be seen")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        weights = attention_weights(deepcopy(task.model).double(), batch.x)
        sinks = torch.cat([found[..., 1:, 0].mean((0, 2)) for found in weights])
        seen = torch.ones_like(weights[0][0, 0], dtype=torch.bool).tril()
        states = outputs_of(task.model, blocks_of(task.model), batch.x).values()
        return {
            "sink_rate": share(sinks > SINK, sinks),
            "zero_share": torch.stack([share(found[..., seen] == 0, found) for found in weights]).mean(),
            "hidden_kurtosis": torch.stack([kurtosis(hidden) for hidden in states]).amax(),
            "largest_activation": torch.stack([hidden.abs().amax() for hidden in states]).amax(),
        }
