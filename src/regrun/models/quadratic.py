"""The two-layer network with quadratic activation, whose solution of modular arithmetic is known."""

from __future__ import annotations

from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec, Tokens
from regrun.contracts.output import Output
from regrun.models.one_hot import OneHotLinear


class Quadratic(nn.Module):
    """``f(x) = W_2 (W_1 x)^2`` on concatenated one-hot vectors, without biases.

    Weights are drawn from a normal of deviation ``scale / (2 hidden)^(1/3)``. Doshi et al., *To grok or not
    to grok*, arXiv 2310.13061, after Gromov, arXiv 2301.02679.

    Args:
        inputs: must be symbols.
        classes: width of the output.
        hidden: neurons.
        scale: scale of the initial weights.
        dropout: rate at which preactivations are dropped, before they are squared.
        batch_norm: whether the squares are normalized before the head reads them.

    Shape:
        input int64 ``(batch, length)``, logits ``(batch, classes)``, features ``(batch, hidden)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: int = 500,
        scale: float = 0.5,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError("the quadratic network reads symbols, and this dataset has real-valued inputs")
        if hidden < 1 or scale <= 0:
            raise ValueError(f"hidden must be at least 1 and scale above 0, got {hidden} and {scale}")
        self.first = OneHotLinear(inputs.vocabulary, inputs.length, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm1d(hidden) if batch_norm else nn.Identity()
        self.head = nn.Linear(hidden, classes, bias=False)
        for weight in (self.first.weight, self.head.weight):
            nn.init.normal_(weight, std=scale / (2 * hidden) ** (1 / 3))

    def forward(self, x: Tensor) -> Output:
        features = self.norm(self.dropout(self.first(x)).square())
        return Output(self.head(features), features)
