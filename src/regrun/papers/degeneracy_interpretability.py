"""*Using Degeneracy in the Loss Landscape*: free directions of small networks, counted."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from regrun.contracts.procedure import Context, Description
from regrun.measures.interaction_basis import Basis, local_interaction_basis

CUT = 1e-10  # eigenvalues of J^T J below this share of the largest count as zero
Weights = tuple[Tensor, Tensor, Tensor]


class Degeneracy:
    """Counts the directions in which the weights of a small ReLU network are free, in float64.

    The behavioural loss ``mean |f_w(x) - f_w*(x)|^2`` has at ``w*`` the Hessian ``2/n sum J^T J``; its null
    space are directions that change no output to first order. ``null_dimension`` is of all weights,
    ``effective_parameters`` the rest, ``active_units`` how many hidden units fire for some sample. For a
    layer whose inputs span ``r_a`` of ``d_in`` dimensions and whose outputs' derivatives span ``r_g`` of
    ``d_out``, theory bounds its own null space from below by ``d_in d_out - r_a r_g``: ``bound_slack`` is the
    least excess over the bound. ``interaction_dimension`` is that of the interaction basis at the input,
    ``basis_change`` how far its features move, relative to their largest, if inputs and first weights are
    transformed by an invertible matrix and its inverse. Bushnaq et al., arXiv 2405.10927.

    Args:
        widths: widths of input, two hidden layers and output.
        samples: standard normal inputs.
        input_rank: dimensions that the inputs span.
        silent_units: units of the second hidden layer whose outgoing weights are zero.
        duplicated_pairs: units of the first hidden layer that are positive multiples of others.
    """

    metrics = (
        "null_dimension",
        "effective_parameters",
        "active_units",
        "bound_slack",
        "interaction_dimension",
        "basis_change",
    )

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (8, 12, 12, 4),
        samples: int = 400,
        input_rank: int = 8,
        silent_units: int = 0,
        duplicated_pairs: int = 0,
    ) -> None:
        if len(widths) != 4 or min(widths) < 1:
            raise ValueError(f"widths must be four numbers of at least 1, got {list(widths)}")
        if not 1 <= input_rank <= widths[0]:
            raise ValueError(f"input_rank must lie between 1 and {widths[0]}, got {input_rank}")
        if not 0 <= silent_units < widths[2] or not 0 <= 2 * duplicated_pairs <= widths[1]:
            raise ValueError(
                "silent_units must be fewer than the second layer's, duplicated_pairs at most half of the "
                f"first's, got {silent_units} and {duplicated_pairs}"
            )
        self.widths = widths
        self.samples = samples
        self.input_rank = input_rank
        self.silent_units = silent_units
        self.duplicated_pairs = duplicated_pairs

    def __call__(self, context: Context) -> dict[str, float]:
        """Build, and count."""
        generator = torch.Generator().manual_seed(context.seed)
        x, weights = self.draw(generator)
        size = sum(w.numel() for w in weights)
        context.begin(
            Description(steps=1, precision="64-true", sizes={"parameters": size, "samples": self.samples})
        )
        jacobians = [j.flatten(2) for j in vmap(jacrev(forward, argnums=1), (0, None))(x, weights)]
        rank = rank_of(torch.cat(jacobians, 2).flatten(0, 1))
        hidden = hidden_layers(x, weights)
        row = {
            "null_dimension": float(size - rank),
            "effective_parameters": float(rank),
            "active_units": float(sum(int((h > 0).any(0).sum()) for h in hidden)),
            "bound_slack": float(min(self.slacks(x, weights, hidden, jacobians))),
        }
        row |= self.basis(x, weights, generator)
        context.log(1, row)
        return row

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Weights]:
        """Inputs and weights of a degenerate network."""

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        d, first, second, out = self.widths
        x = normal(self.samples, self.input_rank) @ torch.linalg.qr(normal(d, self.input_rank)).Q.T
        w1, w2, w3 = (normal(a, b) * (2 / b) ** 0.5 for a, b in ((first, d), (second, first), (out, second)))
        pairs = self.duplicated_pairs
        scale = 0.5 + torch.rand(pairs, 1, generator=generator, dtype=torch.float64)
        w1[pairs : 2 * pairs] = scale * w1[:pairs]
        w3[:, : self.silent_units] = 0
        return x, (w1, w2, w3)

    def slacks(self, x: Tensor, weights: Weights, hidden: list[Tensor], jacobians: list[Tensor]) -> list[int]:
        """The number of free directions of each layer beyond the bound."""
        found = []
        for k, (inputs, w) in enumerate(zip([x, *hidden], weights, strict=True)):
            free = w.numel() - rank_of(jacobians[k].flatten(0, 1))
            after = after_layer(x, weights, k)
            bound = w.numel() - rank_of(inputs) * rank_of(after.flatten(0, 1))
            found.append(free - bound)
        return found

    def basis(self, x: Tensor, weights: Weights, generator: torch.Generator) -> dict[str, float]:
        """The interaction basis at the input, and whether it sees a change of coordinates."""
        change = torch.randn(len(x[0]), len(x[0]), generator=generator, dtype=torch.float64)
        change = torch.eye(len(x[0]), dtype=torch.float64) + 0.3 * change
        moved = (weights[0] @ torch.linalg.inv(change), *weights[1:])
        here, there = interaction_basis(x, weights), interaction_basis(x @ change.T, moved)
        a, b = x @ here.change, x @ change.T @ there.change
        same = min(a.shape[1], b.shape[1])
        a, b = a[:, :same], b[:, :same]
        b = b * (a * b).sum(0).sign()
        return {
            "interaction_dimension": float(len(here)),
            "basis_change": float((a - b).abs().amax() / a.abs().amax()),
        }


def forward(x: Tensor, weights: Weights) -> Tensor:
    """The outputs of one sample."""
    w1, w2, w3 = weights
    return w3 @ (w2 @ (w1 @ x).relu()).relu()


def hidden_layers(x: Tensor, weights: Weights) -> list[Tensor]:
    """Both hidden layers of all samples."""
    first = (x @ weights[0].T).relu()
    return [first, (first @ weights[1].T).relu()]


def after_layer(x: Tensor, weights: Weights, layer: int) -> Tensor:
    """Derivatives of the outputs with respect to a layer's preactivations: ``(n, outputs, width)``."""
    _, w2, w3 = weights
    first, second = hidden_layers(x, weights)
    if layer == 2:
        return torch.eye(len(w3), dtype=x.dtype).expand(len(x), -1, -1)
    after_second = w3 * (second > 0).double()[:, None]
    return after_second if layer == 1 else (after_second @ w2) * (first > 0).double()[:, None]


def interaction_basis(x: Tensor, weights: Weights) -> Basis:
    """The local interaction basis of the inputs with respect to the outputs."""
    slope = vmap(jacrev(forward), (0, None))(x, weights)
    return local_interaction_basis(x, (slope.mT @ slope).mean(0), drop=1e-9)


def rank_of(rows: Tensor) -> int:
    """How many eigenvalues of ``rows^T rows`` exceed ``CUT`` times the largest."""
    values = torch.linalg.svdvals(rows).square()
    return int((values > CUT * values[0]).sum())
