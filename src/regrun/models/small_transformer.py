"""One small transformer for text, images and tables of operations, with any attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output
from regrun.errors import nearest
from regrun.models.attention import Attention, DotProductAttention

READINGS = ("every", "last", "mean")


class SelfAttention(nn.Module):
    """Multi-head attention of the positions of a sequence to each other.

    Args:
        width: width of the states.
        heads: divides ``width``.
        attention: the attention layer's map of queries and keys.
        causal: whether a position sees none later than itself.
    """

    def __init__(self, width: int, heads: int, attention: Attention, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.parts = 2 if attention.tied else 3
        self.project = nn.Linear(width, self.parts * width)
        self.attention = attention
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, width)`` to the same shape."""
        parts = self.project(x).unflatten(-1, (self.parts, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = self.attention.mix(parts[0], parts[-2], parts[-1], self.causal)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then two layers at each position, each added to the residual stream.

    Args:
        width: width of the residual stream.
        heads: number of attention heads.
        attention: the attention layer's map of queries and keys.
        causal: whether a position sees none later than itself.
        pre_norm: whether layer normalization is before each part, or after each addition.
    """

    def __init__(self, width: int, heads: int, attention: Attention, causal: bool, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention = SelfAttention(width, heads, attention, causal)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, width)`` to the same shape."""
        for part, norm in zip((self.attention, self.mlp), self.norms, strict=True):
            x = x + part(norm(x)) if self.pre_norm else norm(x + part(x))
        return x


class Patches(nn.Module):
    """Square patches of an image, each a token.

    Args:
        shape: channels, height and width of an image.
        patch: side of a patch; divides both.
        width: width of the tokens.
    """

    def __init__(self, shape: tuple[int, ...], patch: int, width: int) -> None:
        super().__init__()
        if len(shape) not in (2, 3) or any(side % patch for side in shape[-2:]):
            raise ValueError(f"patches of {patch} × {patch} do not tile inputs of shape {tuple(shape)}")
        self.patch = patch
        self.count = (shape[-2] // patch) * (shape[-1] // patch)
        self.embed = nn.Linear(math.prod(shape[:-2]) * patch**2, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, height, width)`` to ``(batch, tokens, width)``."""
        if x.ndim == 3:
            x = x[:, None]
        tokens = nn.functional.unfold(x, self.patch, stride=self.patch).mT
        embedded: Tensor = self.embed(tokens)
        return embedded


class SmallTransformer(nn.Module):
    """Transformer with learned positions, GPT-2's initialization, and no dropout.

    Weights are drawn with deviation 0.02, those that write to the residual stream with ``0.02 / sqrt(2
    layers)``. It reads symbols, or images as patches.

    Args:
        inputs: tokens, whose ``length`` is the context, or images.
        classes: number of classes; the vocabulary for a language model.
        attention: makes the attention of a block.
        width: width of the residual stream.
        heads: attention heads; divides ``width``.
        layers: blocks.
        pre_norm: layer normalization before each part, as in GPT-2, or after it, as in the first transformer.
        causal: whether a position sees none later than itself.
        read: predicts at ``every`` position, at the ``last`` one, or from the ``mean`` of all.
        patch: side of the patches of an image.

    Shape:
        input int64 ``(batch, length)`` or images; logits ``(batch, length, classes)`` where ``every``
        position is read, else ``(batch, classes)`` with features ``(batch, width)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        attention: Callable[[], Attention] = DotProductAttention,
        width: int = 96,
        heads: int = 4,
        layers: int = 2,
        pre_norm: bool = True,
        causal: bool = True,
        read: str = "every",
        patch: int = 4,
    ) -> None:
        super().__init__()
        if width % heads or layers < 1:
            raise ValueError(
                f"heads must divide width and layers be at least 1, got {heads}, {width} and {layers}"
            )
        if read not in READINGS:
            raise ValueError(
                f"read must be one of {', '.join(READINGS)}, got {read!r}{nearest(read, READINGS)}"
            )
        self.read = read
        self.embedding: nn.Module
        if isinstance(inputs, Tokens):
            self.embedding, length = nn.Embedding(inputs.vocabulary, width), inputs.length
        elif read == "every":
            raise ValueError("a language model reads symbols, and this dataset has real-valued inputs")
        else:
            self.embedding = Patches(inputs.shape, patch, width)
            length = self.embedding.count
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, attention(), causal, pre_norm) for _ in range(layers))
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

    def forward(self, x: Tensor) -> Tensor | Output:
        states = self.embedding(x)
        states = states + self.positions[: states.shape[1]]
        for block in self.blocks:
            states = block(states)
        states = self.norm(states)
        if self.read == "every":
            logits: Tensor = self.head(states)
            return logits
        features = states[:, -1] if self.read == "last" else states.mean(1)
        return Output(self.head(features), features)
