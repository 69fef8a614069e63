"""*Provable Scaling Laws of Feature Emergence*: the number of samples needed to generalize."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from regrun.contracts.inputs import Tokens
from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context, Description
from regrun.models.quadratic import Quadratic
from regrun.procedures.evaluation import accuracy


@dataclass(frozen=True, eq=False)
class SampleThreshold:
    """Trains on ``n = c M log M`` pairs of modular addition for several ``c``; finds where it generalizes.

    ``threshold_accuracy/c=c`` is the accuracy on the pairs left out. ``critical_c`` is where it crosses one
    half, between two values of ``c`` on a straight line, ``nan`` if it does not; ``critical_fraction`` is ``n
    / M^2`` there. Tian, arXiv 2509.21519.

    Args:
        modulus: ``M``.
        multiples: values of ``c``, ascending.
        hidden: neurons of the quadratic network.
        steps: number of full-batch AdamW steps.
        lr: learning rate.
        weight_decay: decoupled.
    """

    metrics = ("threshold_accuracy", "critical_c", "critical_fraction")

    modulus: int = 23
    multiples: Sequence[float] = (2.5, 3.0, 3.5, 4.0, 5.0)
    hidden: int = 256
    steps: int = 1500
    lr: float = 0.01
    weight_decay: float = 1.0

    def __post_init__(self) -> None:
        if self.modulus < 3 or min(self.hidden, self.steps) < 1:
            raise ValueError(
                "modulus must be at least 3, hidden and steps at least 1, "
                f"got {self.modulus}, {self.hidden} and {self.steps}"
            )
        if len(self.multiples) < 2 or list(self.multiples) != sorted({*self.multiples}):
            raise ValueError(f"multiples must ascend and be at least two, got {list(self.multiples)}")
        if self.multiples[-1] * math.log(self.modulus) >= self.modulus:
            raise ValueError(
                f"{self.multiples[-1]:g} M log M pairs are more than there are for M={self.modulus}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Train each, and interpolate."""
        m = self.modulus
        context.begin(Description(steps=len(self.multiples) * self.steps))
        pairs = torch.cartesian_prod(torch.arange(m), torch.arange(m))
        order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(context.seed))
        pairs, y = pairs[order], pairs[order].sum(1) % m
        found = []
        for k, c in enumerate(self.multiples):
            torch.manual_seed(context.seed)
            n = round(c * m * math.log(m))
            found.append(self.train(pairs, y, n, context, k * self.steps))
            context.log((k + 1) * self.steps, {f"threshold_accuracy/c={c:g}": found[-1]})
        critical = crossing(self.multiples, found, 0.5)
        row = {f"threshold_accuracy/c={c:g}": a for c, a in zip(self.multiples, found, strict=True)}
        return row | {"critical_c": critical, "critical_fraction": critical * math.log(m) / m}

    def train(self, pairs: torch.Tensor, y: torch.Tensor, n: int, context: Context, done: int) -> float:
        """The accuracy on the rest of the pairs after training on the first ``n``."""
        m = self.modulus
        model = Quadratic(Tokens(m, 2), m, self.hidden)
        optimizer = torch.optim.AdamW(
            model.parameters(), self.lr, (0.9, 0.98), weight_decay=self.weight_decay, fused=True
        )
        target = F.one_hot(y[:n], m).float()
        for step in range(self.steps):
            context.stop.check()
            loss = F.mse_loss(as_output(model(pairs[:n])).logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                context.show(done + step, float(loss))
        with torch.no_grad():
            return accuracy(as_output(model(pairs[n:])).logits, y[n:])


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float:
    """Where the line through the points first rises to a level; ``nan`` if it does not cross it."""
    for k in range(1, len(x)):
        if y[k - 1] < level <= y[k]:
            return x[k - 1] + (level - y[k - 1]) / (y[k] - y[k - 1]) * (x[k] - x[k - 1])
    return math.nan
