"""*The Network Feature Complexity*: equivalent features merged, without data and without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Samples, Splits
from regrun.data.stream import BatchList
from regrun.models.mlp import MLP
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.evaluation import accuracy
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised

BETAS = (0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class TwoLayers:
    """A hidden layer with ReLU and the head that reads it.

    Attributes:
        into: incoming weights and, last, the bias, ``(units, inputs + 1)``.
        out: outgoing weights, ``(units, classes)``.
        bias: bias of the head.
    """

    into: Tensor
    out: Tensor
    bias: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """The logits of rows ``(n, inputs)``."""
        hidden: Tensor = (x @ self.into[:, :-1].T + self.into[:, -1]).relu()
        return hidden @ self.out + self.bias

    def keep(self, units: Tensor) -> TwoLayers:
        """The network with only some of its units."""
        return TwoLayers(self.into[units], self.out[units], self.bias)

    def __len__(self) -> int:
        return len(self.into)


def merges(net: TwoLayers, average_incoming: bool = False) -> Iterator[tuple[float, TwoLayers]]:
    """The network after ever more merges, each with its pair's distance as a share of the largest.

    The two units whose weights, incoming and outgoing but without biases, are closest become one: its
    incoming weights and bias are their sum, its outgoing ones their mean, weighted by how many units each
    stands for. Two equal units leave the output as it was. Chen et al., arXiv 2310.06756.

    Args:
        net: the network.
        average_incoming: take the weighted mean of the incoming weights instead of their sum.
    """
    into, out, counts = net.into.clone(), net.out.clone(), torch.ones(len(net), dtype=net.into.dtype)
    alive = torch.ones(len(net), dtype=torch.bool)

    def described(rows: slice | int) -> Tensor:
        return torch.cat([into[rows, :-1], out[rows]], -1)

    everything = described(slice(None))
    distance = torch.cdist(everything, everything).square()
    distance.fill_diagonal_(torch.inf)
    while int(alive.sum()) > 1:
        finite = distance[alive][:, alive]
        largest = finite[finite.isfinite()].amax()
        flat = int(distance.argmin())
        i, j = flat // len(net), flat % len(net)
        share = float(distance[i, j] / largest)
        total = counts[i] + counts[j]
        into[i] = (
            (counts[i] * into[i] + counts[j] * into[j]) / total if average_incoming else into[i] + into[j]
        )
        out[i] = (counts[i] * out[i] + counts[j] * out[j]) / total
        counts[i], alive[j] = total, False
        distance[j], distance[:, j] = torch.inf, torch.inf
        row = (described(slice(None)) - described(i)).square().sum(1)
        row[~alive] = torch.inf
        row[i] = torch.inf
        distance[i], distance[:, i] = row, row
        yield share, TwoLayers(into[alive].clone(), out[alive].clone(), net.bias)


class FeatureMerging(AfterTraining):
    """Trains an MLP of one hidden layer; then merges its units as far as a threshold allows.

    For each ``beta``: merging goes on while the closest pair's squared distance is at most ``beta`` times the
    largest, and more than ``1 - max_ratio`` of the units are left. ``merged_accuracy/beta=b`` is the test
    accuracy then, ``feature_complexity/beta=b`` the share of units that is left, ``averaged_accuracy/beta=b``
    the accuracy if incoming weights are averaged rather than summed. At ``units`` units: ``merged_at_units``,
    and of pruning by the norm of incoming weights and at random ``magnitude_at_units`` and
    ``random_at_units``. Nothing is retrained, and no data are seen. Chen et al., arXiv 2310.06756.

    Args:
        training: training of an MLP with one hidden layer.
        units: numbers of units at which merging and pruning are compared.
        max_ratio: the largest share of units that is merged away.
    """

    own = (
        "merged_accuracy",
        "averaged_accuracy",
        "feature_complexity",
        "merged_at_units",
        "magnitude_at_units",
        "random_at_units",
        "original_accuracy",
    )

    def __init__(self, training: SupervisedTraining, units: int = 128, max_ratio: float = 0.9) -> None:
        super().__init__(training)
        if units < 1 or not 0 < max_ratio < 1:
            raise ValueError(
                f"units must be at least 1 and max_ratio lie in (0, 1), got {units} and {max_ratio}"
            )
        self.units = units
        self.max_ratio = max_ratio

    def check(self, task: Supervised, splits: Splits) -> None:
        """Raise ``ValueError`` if the model has not one hidden layer, of more units than are to be left."""
        width = len(two_layers(task.model))
        if self.units >= width:
            raise ValueError(f"units must be fewer than the {width} of the layer, got {self.units}")

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        net = two_layers(task.model)
        x = inputs(task, splits.test)

        def score(candidate: TwoLayers) -> float:
            return accuracy(candidate.logits(x), splits.test.y)

        row = {"original_accuracy": score(net)}
        fewest = len(net) * (1 - self.max_ratio)
        at_units = net
        for name, average in (("merged", False), ("averaged", True)):
            context.stop.check()
            current, open_betas, reached = net, list(BETAS), 0.0
            for share, merged in merges(net, average):
                # A pair that is too far ends the merging, even if a later one were closer again.
                reached = max(reached, share)
                while open_betas and (reached > open_betas[0] or len(current) <= fewest):
                    self.close(row, name, open_betas.pop(0), score(current), len(current) / len(net))
                current = merged
                if len(merged) == self.units and not average:
                    at_units = merged
                if not open_betas and len(merged) <= self.units:
                    break
            for beta in open_betas:
                self.close(row, name, beta, score(current), len(current) / len(net))
        norms = net.into[:, :-1].norm(dim=1)
        generator = torch.Generator().manual_seed(context.seed)
        return row | {
            "merged_at_units": score(at_units),
            "magnitude_at_units": score(net.keep(norms.argsort(descending=True)[: self.units])),
            "random_at_units": score(net.keep(torch.randperm(len(net), generator=generator)[: self.units])),
        }

    def close(self, row: dict[str, float], name: str, beta: float, found: float, left: float) -> None:
        """Record where the merging for one threshold has ended."""
        row[f"{name}_accuracy/beta={beta:g}"] = found
        if name == "merged":
            row[f"feature_complexity/beta={beta:g}"] = left


def two_layers(model: nn.Module) -> TwoLayers:
    """An MLP with one hidden layer, in float64.

    Raises:
        ValueError: if it is another model.
    """
    linear = [m for m in model.modules() if isinstance(m, nn.Linear)]
    if not isinstance(model, MLP) or len(linear) != 2 or any(m.bias is None for m in linear):
        raise ValueError("merging is for MLPs with biases and one hidden layer; set model.hidden=[256]")
    first, head = linear
    into = torch.cat([first.weight, first.bias[:, None]], 1).detach().double()
    return TwoLayers(into, head.weight.detach().double().T, head.bias.detach().double())


def inputs(task: Supervised, samples: Samples) -> Tensor:
    """All samples as the first layer reads them, in float64."""
    batches = BatchList(samples, task.evaluation_batch)
    return torch.cat([task.inputs.prepare(batch.x).flatten(1).double() for batch in batches])
