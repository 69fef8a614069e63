"""Massive activations and attention sinks of transformers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.task import Task
from regrun.measures.looking import outputs_of
from regrun.measures.outliers import massive_count, sink_share, top_ratio
from regrun.models.attention import Attention
from regrun.models.small_transformer import Block
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe


class MassiveActivations(SampleProbe):
    """How far the largest activation of the residual stream stands out, after each block.

    ``top_ratio/block=k`` is the largest absolute activation over the median one of a sequence, averaged over
    sequences; ``top_ratio`` the largest over blocks; ``massive_activations`` counts those above 100 and above
    1000 times the median, of all blocks of a sequence. Costs one pass over ``samples`` sequences. Sun et al.,
    arXiv 2402.17762.

    Args:
        samples: sequences.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = ("top_ratio", "massive_activations")

    def __init__(self, samples: int = 8, every: int = 1, split: str = "test") -> None:
        super().__init__(samples, every, split)

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        if not blocks_of(task.model):
            raise ProbeError("the model has no transformer blocks")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        states = outputs_of(task.model, blocks_of(task.model), batch.x).values()
        ratios = torch.stack([top_ratio(hidden) for hidden in states])
        return {
            "top_ratio": ratios.amax(),
            "massive_activations": sum(massive_count(hidden) for hidden in states),
            **{f"top_ratio/block={k}": ratio for k, ratio in enumerate(ratios, 1)},
        }


class AttentionSinks(SampleProbe):
    """``attention_sink/block=k``, the share of a block's attention that goes to the first position.

    ``attention_sink`` is the largest over blocks. An even spread gives about ``log(time) / time``. Costs one
    pass over ``samples`` sequences. Xiao et al., arXiv 2309.17453.

    Args:
        samples: sequences.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = ("attention_sink",)

    def __init__(self, samples: int = 8, every: int = 1, split: str = "test") -> None:
        super().__init__(samples, every, split)

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        if not attentions_of(task.model):
            raise ProbeError("the model has no attention whose weights can be seen")

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        shares = torch.stack([sink_share(found) for found in attention_weights(task.model, batch.x)])
        row: dict[str, float | Tensor] = {
            f"attention_sink/block={k}": share for k, share in enumerate(shares, 1)
        }
        return row | {"attention_sink": shares.amax()}


def blocks_of(model: nn.Module) -> dict[str, nn.Module]:
    """The blocks whose outputs are states of the residual stream, by name."""
    kinds = (Block, nn.TransformerEncoderLayer)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def attentions_of(model: nn.Module) -> dict[str, Attention]:
    """The modules that compute attention weights, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Attention)}


def attention_weights(model: nn.Module, x: Tensor) -> list[Tensor]:
    """The attention of each block, ``(batch, heads, to, from)``, in evaluation mode."""
    maps = attentions_of(model)
    for module in maps.values():
        module.visible = True
    try:
        return list(outputs_of(model, dict(maps), x).values())
    finally:
        for module in maps.values():
            module.visible = False
