"""A small language model in the manner of GPT-2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.data.base import InputSpec, Tokens


class AttentionMap(nn.Module):
    """The weights of causal attention; the attention goes through it where they are to be seen.

    Attributes:
        visible: set by whoever looks.
    """

    visible = False

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """``softmax(q k^T / sqrt(d))`` over positions that are not later: ``(batch, heads, to, from)``."""
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(later, -torch.inf).softmax(-1)


class CausalSelfAttention(nn.Module):
    """Multi-head attention of each position to those not later.

    Args:
        width: of the states.
        heads: divides ``width``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.map = AttentionMap()
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """From and to ``(batch, time, width)``."""
        q, k, v = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.map.visible:
            mixed = self.map(q, k) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then two layers at each position, each added to the residual stream.

    Args:
        width: of the stream.
        heads: of the attention.
        pre_norm: whether layer normalization is before each part, or after each addition.
    """

    def __init__(self, width: int, heads: int, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = CausalSelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor) -> Tensor:
        """From and to ``(batch, time, width)``."""
        for part, norm in zip((self.attention, self.mlp), self.norms, strict=True):
            x = x + part(norm(x)) if self.pre_norm else norm(x + part(x))
        return x


class GPT(nn.Module):
    """Decoder-only transformer with learned positions, GPT-2's initialization, and no dropout.

    Weights are drawn with deviation 0.02, those that write to the residual stream with ``0.02 / sqrt(2
    layers)``.

    Args:
        inputs: must be symbols; ``length`` is the context.
        classes: the vocabulary that is predicted.
        width: of the residual stream.
        heads: attention heads; divides ``width``.
        layers: blocks.
        pre_norm: layer normalization before each part, as in GPT-2, or after it, as in the first transformer.

    Shape:
        input int64 ``(batch, length)``, logits ``(batch, length, classes)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        width: int = 96,
        heads: int = 4,
        layers: int = 2,
        pre_norm: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError("a language model reads symbols, and this dataset has real-valued inputs")
        if width % heads or layers < 1:
            raise ValueError(
                f"heads must divide width and layers be at least 1, got {heads}, {width} and {layers}"
            )
        self.embedding = nn.Embedding(inputs.vocabulary, width)
        self.positions = nn.Parameter(torch.empty(inputs.length, width))
        self.blocks = nn.ModuleList(Block(width, heads, pre_norm) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if pre_norm else nn.Identity()
        self.head = nn.Linear(width, classes, bias=False)
        self.apply(self._initialize)
        nn.init.normal_(self.positions, std=0.02)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "mlp.2.weight")):
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers))

    @staticmethod
    def _initialize(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        states = self.embedding(x) + self.positions[: x.shape[1]]
        for block in self.blocks:
            states = block(states)
        logits: Tensor = self.head(self.norm(states))
        return logits
