"""Composition of permutations: an algorithmic task on a group that does not commute."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from regrun.data.operation_table import OperationTable
from regrun.memory import check_memory
from regrun.ranges import check_whole

MOST = 7  # points; 5040 elements have 25 million pairs


class PermutationGroup(OperationTable):
    """Every pair ``(a, b)`` of permutations, labelled with ``a`` after ``b``; see ``OperationTable``.

    Permutations are numbered in lexicographic order; of five points, the usual choice, there are 120. Power
    et al., *Grokking*, arXiv 2201.02177.

    Args:
        points: number of permuted points, 2 to 7.
        train_fraction: see ``OperationTable``.
        label_corruption: see ``OperationTable``.
        include_true: see ``OperationTable``.
    """

    def __init__(
        self,
        points: int = 5,
        train_fraction: float = 0.5,
        label_corruption: float = 0.0,
        include_true: bool = False,
    ) -> None:
        check_whole(points=points)
        if not 2 <= points <= MOST:
            raise ValueError(f"points must lie between 2 and {MOST}, got {points}")
        self.elements = torch.tensor(list(permutations(range(points))))
        super().__init__(len(self.elements), train_fraction, label_corruption, include_true)

    def table(self) -> tuple[Tensor, Tensor]:
        """Every pair and its composition.

        Raises:
            ValueError: if there is too little memory.
        """
        count, points = self.elements.shape
        check_memory(f"{count**2:,} pairs of permutations", 8 * count**2 * (3 * points + 4))
        place = points ** torch.arange(points)  # a permutation read as a number
        number = torch.full((int(points**points),), -1)
        number[(self.elements * place).sum(1)] = torch.arange(count)
        x = torch.cartesian_prod(torch.arange(count), torch.arange(count))
        composed = self.elements[x[:, 0]].gather(1, self.elements[x[:, 1]])
        return x, number[(composed * place).sum(1)]
