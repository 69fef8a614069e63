"""The one-layer transformer of the grokking papers."""

from __future__ import annotations

from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output


class Transformer(nn.Module):
    """Transformer encoder over symbols, read out at the last position.

    ``nn.TransformerEncoderLayer`` with its defaults (post-norm, ReLU), no positional encoding. Prieto et
    al., *Grokking at the Edge of Numerical Stability*, arXiv 2501.04697, following its official code.

    Args:
        inputs: must be symbols.
        classes: width of the output.
        width: embedding dimension.
        heads: attention heads; divides ``width``.
        layers: encoder layers.
        feedforward: width of the feed-forward part.
        dropout: rate of every dropout in the encoder.

    Shape:
        input int64 ``(batch, length)``, logits ``(batch, classes)``, features ``(batch, width)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        width: int = 128,
        heads: int = 4,
        layers: int = 1,
        feedforward: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError("the transformer reads symbols, and this dataset has real-valued inputs")
        if width % heads:
            raise ValueError(f"heads must divide width, got {heads} and {width}")
        self.embedding = nn.Embedding(inputs.vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, heads, feedforward, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Output:
        features = self.encoder(self.embedding(x))[:, -1]
        return Output(self.head(features), features)
