"""The patterns of active units of a piecewise linear network, and the regions they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regrun.measures.looking import activations


def codes_of(layers: Mapping[str, Tensor]) -> Tensor:
    """Which units are active: bool ``(n, units)`` over all layers.

    Args:
        layers: activations ``(n, ...)`` by name.
    """
    return torch.cat([t.flatten(1) > 0 for t in layers.values()], 1)


def redundancy_ratio(codes: Tensor) -> float:
    """``(n - distinct codes) / n``: 0 where every sample lies in a linear region of its own.

    He et al., *Neural networks behave as hash encoders*, arXiv 2101.06490.
    """
    return 1 - len(codes.unique(dim=0)) / len(codes)


def hamming_neighbours(codes: Tensor, queries: Tensor, k: int) -> Tensor:
    """Positions of the ``k`` codes nearest to each query, ``(queries, k)``; of equals the first."""
    a, b = codes.float(), queries.float()
    distance = a.sum(1) + b.sum(1, keepdim=True) - 2 * b @ a.T
    # One key orders by distance and then by position: topk alone may take any of equals.
    key = distance.long() * len(codes) + torch.arange(len(codes), device=codes.device)
    return key.topk(k, largest=False, dim=1).indices


def vote(labels: Tensor, classes: int) -> Tensor:
    """The most frequent label of each row, the smallest of equals."""
    return nn.functional.one_hot(labels, classes).sum(1).argmax(1)


def regions_between(model: nn.Module, starts: Tensor, ends: Tensor, points: int = 64) -> Tensor:
    """How many linear regions the segments from ``starts`` to ``ends`` run through, ``(n,)``.

    Counted as changes of the code between evenly spaced points, plus one: a lower bound, that grows with
    ``points``.

    Args:
        model: a model whose activation functions are modules.
        starts: inputs, ``(n, ...)``.
        ends: inputs, ``(n, ...)``.
        points: on each segment.
    """
    before: Tensor | None = None
    changes = torch.zeros(len(starts), device=starts.device)
    for t in torch.linspace(0, 1, points):
        codes = codes_of(activations(model, starts + t.item() * (ends - starts)))
        if before is not None:
            changes += (codes != before).any(1)
        before = codes
    return changes + 1
