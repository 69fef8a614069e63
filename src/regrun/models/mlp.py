"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from regrun.data.base import InputSpec, Tokens
from regrun.models.one_hot import OneHotLinear
from regrun.models.output import Output


class MLP(nn.Module):
    """ReLU multilayer perceptron with PyTorch's default initialization.

    Symbols are read as concatenated one-hot vectors, other inputs flattened.

    Args:
        inputs: what one input looks like.
        classes: width of the output.
        hidden: widths of the hidden layers.
        bias: whether the layers have biases.

    Shape:
        input ``(batch, ...)`` as ``inputs`` says, logits ``(batch, classes)``, features
        ``(batch, hidden[-1])``.
    """

    def __init__(
        self, inputs: InputSpec, classes: int, hidden: Sequence[int] = (200, 200), bias: bool = True
    ) -> None:
        super().__init__()
        if not hidden or any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be widths of at least 1, got {list(hidden)}")
        first: nn.Module
        if isinstance(inputs, Tokens):
            first = OneHotLinear(inputs.vocabulary, inputs.length, hidden[0], bias)
        else:
            first = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(inputs.shape), hidden[0], bias))
        layers: list[nn.Module] = [first, nn.ReLU()]
        for fan_in, fan_out in pairwise(hidden):
            layers += [nn.Linear(fan_in, fan_out, bias), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden[-1], classes, bias)

    def forward(self, x: Tensor) -> Output:
        """See the class."""
        features = self.body(x)
        return Output(self.head(features), features)
