"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output
from regrun.errors import nearest
from regrun.models.one_hot import OneHotLinear

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


class MLP(nn.Module):
    """Multilayer perceptron with PyTorch's default initialization.

    Symbols are read as concatenated one-hot vectors, other inputs flattened.

    Args:
        inputs: shape and type of one input.
        classes: width of the output.
        hidden: widths of the hidden layers.
        bias: whether the layers have biases.
        activation: ``relu``, ``tanh``, ``softplus``, ``elu`` or ``gelu``.
        init_scale: factor on all initial weights and biases.
        dropout: rate after each hidden layer.

    Shape:
        input ``(batch, ...)`` as ``inputs`` says, logits ``(batch, classes)``, features
        ``(batch, hidden[-1])``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: Sequence[int] = (200, 200),
        bias: bool = True,
        activation: str = "relu",
        init_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not hidden or any(width < 1 for width in hidden):
            raise ValueError(f"hidden must be widths of at least 1, got {list(hidden)}")
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {activation!r}{nearest(activation, ACTIVATIONS)} "
                f"(known: {', '.join(ACTIVATIONS)})"
            )
        if init_scale <= 0:
            raise ValueError(f"init_scale must be above 0, got {init_scale}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        function = ACTIVATIONS[activation]
        drop = [nn.Dropout(dropout)] if dropout else []
        first: nn.Module
        if isinstance(inputs, Tokens):
            first = OneHotLinear(inputs.vocabulary, inputs.length, hidden[0], bias)
        else:
            first = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(inputs.shape), hidden[0], bias))
        layers: list[nn.Module] = [first, function(), *drop]
        for fan_in, fan_out in pairwise(hidden):
            layers += [nn.Linear(fan_in, fan_out, bias), function(), *drop]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden[-1], classes, bias)
        if init_scale != 1:
            with torch.no_grad():
                for weight in self.parameters():
                    weight.mul_(init_scale)

    def forward(self, x: Tensor) -> Output:
        features = self.body(x)
        return Output(self.head(features), features)
