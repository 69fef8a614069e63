"""*The Local Interaction Basis*: fewer directions, and fewer interactions between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from regrun.contracts.batch import Batch
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.data.stream import BatchList
from regrun.measures.interaction_basis import Basis, local_interaction_basis, principal_basis
from regrun.models.mlp import MLP
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.evaluation import accuracy
from regrun.tasks.supervised import Supervised

KINDS = ("neuron", "pca", "lib")


class InteractionBases(AfterTraining):
    """Trains an MLP; then compares bases of its hidden layers: neurons, PCA, and the local interaction basis.

    For each ``directions_<basis>``, how many directions in all layers it takes, in the order of importance,
    so that a layer projected onto them leaves 99 % of the test accuracy; ``edges_<basis>``, the share of the
    interactions between features of consecutive layers that holds 95 % of the squared attributions;
    ``features_<basis>``, how many features there are; and ``round_trip_<basis>``, the relative change of the
    logits by going to the basis and back. An interaction is ``E[(d g_j / d f_i)^2 f_i^2]``, the local form of
    the paper's attribution. In float64, on the train samples. Bushnaq et al., arXiv 2405.10928.

    Args:
        training: training of an MLP.
    """

    own = tuple(
        f"{what}_{kind}" for what in ("directions", "edges", "features", "round_trip") for kind in KINDS
    )

    def check(self, task: Supervised, splits: Splits) -> None:
        """Raise ``ValueError`` if the model is no MLP."""
        if not isinstance(task.model, MLP) or not isinstance(task.model.head, nn.Linear):
            raise ValueError("interaction bases are for MLPs; set model=mlp")

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        model = task.model
        assert isinstance(model, MLP)
        net = Affine(model)
        train, test = (first_hidden(model, task, split) for split in (splits.train, splits.test))
        states = net.states(train)
        full = accuracy(net.logits(test, 0), splits.test.y)
        row: dict[str, float] = {}
        for kind, bases in zip(KINDS, all_bases(net, states), strict=True):
            hidden = len(bases) - 1
            tested = net.states(test)
            needed, exact = 0, 0.0
            for layer in range(hidden):
                basis = bases[layer]

                needed += next(
                    (
                        count
                        for count in range(1, len(basis) + 1)
                        if accuracy(net.logits(tested[layer] @ basis.projection(count), layer), splits.test.y)
                        >= 0.99 * full
                    ),
                    len(basis),
                )
                through = net.logits(states[layer] @ basis.projection(len(basis)), layer)
                exact = max(exact, float((through - states[-1]).norm() / states[-1].norm()))
            shares = [
                edge_share(net.interactions(states[k], k, bases[k], bases[k + 1])) for k in range(hidden)
            ]
            row |= {
                f"directions_{kind}": float(needed),
                f"edges_{kind}": sum(shares) / hidden,
                f"features_{kind}": float(sum(len(basis) for basis in bases[:-1])),
                f"round_trip_{kind}": exact,
            }
        return row


class Affine:
    """An MLP from its first hidden layer on, biases folded in by a constant entry, in float64.

    Args:
        model: the network.
    """

    def __init__(self, model: MLP) -> None:
        linear = [m for m in list(model.body)[1:] if isinstance(m, nn.Linear)]
        self.hidden = [folded(layer) for layer in linear]
        self.head = folded(model.head)[:, :-1]

    def states(self, f: Tensor) -> list[Tensor]:
        """Every hidden layer from this one on, and the logits."""
        found = [f]
        for matrix in self.hidden:
            found.append(rectified(found[-1] @ matrix))
        return [*found, found[-1] @ self.head]

    def logits(self, f: Tensor, layer: int) -> Tensor:
        """The network's output for given activations of a layer."""
        for matrix in self.hidden[layer:]:
            f = rectified(f @ matrix)
        return f @ self.head

    def jacobians(self, f: Tensor, layer: int) -> Tensor:
        """The Jacobian of the next layer with respect to this one, per row: ``(n, next width, width)``."""
        if layer == len(self.hidden):
            return self.head.T.expand(len(f), -1, -1)
        matrix = self.hidden[layer]
        active = (f @ matrix > 0).double()
        active[:, -1] = 0  # the constant reacts to nothing
        return active[:, :, None] * matrix.T

    def interactions(self, f: Tensor, layer: int, here: Basis, there: Basis) -> Tensor:
        """How much each feature of the next layer depends on each of this: ``(next features, features)``."""
        total = torch.zeros(len(there), len(here), dtype=torch.float64)
        for part in f.split(500):
            slope = there.change.T @ self.jacobians(part, layer) @ here.back.T
            total += (slope.square() * (part @ here.change).square()[:, None]).sum(0)
        return total / len(f)


def folded(layer: nn.Linear) -> Tensor:
    """The matrix that rows with a constant last entry are multiplied by; it keeps the entry."""
    width, out = layer.in_features, layer.out_features
    matrix = torch.zeros(width + 1, out + 1, dtype=torch.float64)
    matrix[:-1, :-1] = layer.weight.detach().double().T
    if layer.bias is not None:
        matrix[-1, :-1] = layer.bias.detach().double()
    matrix[-1, -1] = 1
    return matrix


def rectified(f: Tensor) -> Tensor:
    """ReLU; the constant entry is 1 and stays."""
    return f.clamp_min(0)


def first_hidden(model: MLP, task: Supervised, samples: object) -> Tensor:
    """The first hidden layer with a constant entry, ``(n, width + 1)``."""
    rows = []
    batch: Batch
    for batch in BatchList(samples, task.evaluation_batch):  # type: ignore[arg-type]
        hidden = model.body[1](model.body[0](task.inputs.prepare(batch.x))).double()
        rows.append(torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1))
    return torch.cat(rows)


def all_bases(net: Affine, states: list[Tensor]) -> list[list[Basis]]:
    """The bases of every hidden layer and of the logits: neurons, PCA, local interaction basis."""
    last = principal_basis(states[-1])
    principal = [*(principal_basis(f) for f in states[:-1]), last]
    neurons = [*(neuron_basis(f) for f in states[:-1]), last]
    local = [last]
    for layer in reversed(range(len(states) - 1)):
        f = states[layer]
        sensitivity = torch.zeros(f.shape[1], f.shape[1], dtype=torch.float64)
        for part in f.split(500):
            j = local[0].change.T @ net.jacobians(part, layer)
            sensitivity += (j.mT @ j).sum(0)
        local.insert(0, local_interaction_basis(f, sensitivity / len(f)))
    return [neurons, principal, local]


def neuron_basis(f: Tensor) -> Basis:
    """The neurons, those with the largest mean square first; the ones that never fire are left out."""
    squares = f.square().mean(0)
    order = squares.argsort(descending=True)
    order = order[squares[order] > 0]
    change = torch.eye(f.shape[1], dtype=f.dtype)[:, order]
    return Basis(change, change.T)


def edge_share(strength: Tensor) -> float:
    """The share of the interactions, largest first, that holds 95 % of the total."""
    ordered = strength.flatten().sort(descending=True).values
    reached = ordered.cumsum(0) >= 0.95 * ordered.sum()
    count = int(reached.int().argmax()) + 1 if bool(reached.any()) else len(ordered)
    return count / len(ordered) if len(ordered) else math.nan
