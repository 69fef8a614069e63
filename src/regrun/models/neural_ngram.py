"""The neural n-gram language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output


class NeuralNGram(nn.Module):
    """Embeddings of the words before, side by side, a tanh layer, and a head without bias.

    Bengio et al. 2003.

    Args:
        inputs: must be symbols.
        classes: the vocabulary that is predicted.
        embedding: width of a word.
        hidden: units.

    Shape:
        input int64 ``(batch, length)``, logits ``(batch, classes)``, features ``(batch, hidden)``.
    """

    def __init__(self, inputs: InputSpec, classes: int, embedding: int = 64, hidden: int = 128) -> None:
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError("a language model reads symbols, and this dataset has real-valued inputs")
        if min(embedding, hidden) < 1:
            raise ValueError(f"embedding and hidden must be at least 1, got {embedding} and {hidden}")
        self.embedding = nn.Embedding(inputs.vocabulary, embedding)
        self.body = nn.Linear(inputs.length * embedding, hidden)
        self.head = nn.Linear(hidden, classes, bias=False)

    def forward(self, x: Tensor) -> Output:
        features = torch.tanh(self.body(self.embedding(x).flatten(1)))
        return Output(self.head(features), features)
