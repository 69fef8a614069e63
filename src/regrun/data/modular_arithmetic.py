"""Modular arithmetic: the algorithmic tasks on which networks grok."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from regrun.data.operation_table import OperationTable
from regrun.errors import nearest
from regrun.memory import check_memory
from regrun.ranges import check_whole

# Each takes int64 a and b and gives a value that is then reduced modulo p.
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a+b": lambda a, b: a + b,
    "a-b": lambda a, b: a - b,
    "a*b": lambda a, b: a * b,
    "a^2+b^2": lambda a, b: a**2 + b**2,
    "a^2+ab+b^2": lambda a, b: a**2 + a * b + b**2,
    "a^2+ab+b^2+a": lambda a, b: a**2 + a * b + b**2 + a,
    "a^3+ab": lambda a, b: a**3 + a * b,
    "a^3+ab^2+b": lambda a, b: a**3 + a * b**2 + b,
}
DIVISION = "a/b"
MOST = 10**6  # residues, which have 10**12 pairs


class ModularArithmetic(OperationTable):
    """Every pair ``(a, b)`` of residues, labelled with ``operation(a, b) mod p``; see ``OperationTable``.

    Power et al., *Grokking*, arXiv 2201.02177.

    Args:
        modulus: ``p``, from 2 to a million; a prime where ``operation`` is ``"a/b"``.
        operation: one of ``OPERATIONS`` or ``"a/b"`` (multiplication by the inverse; pairs with ``b = 0``
            are left out).
        train_fraction: see ``OperationTable``.
        label_corruption: see ``OperationTable``.
        include_true: see ``OperationTable``.
        lowest: the smallest operand, 0 for all residues, 1 to leave zero out.
        validation: see ``OperationTable``.

    Raises:
        ValueError: if a parameter is out of its range or the modulus of a division is not prime.
    """

    def __init__(
        self,
        modulus: int = 113,
        operation: str = "a+b",
        train_fraction: float = 0.4,
        label_corruption: float = 0.0,
        include_true: bool = False,
        lowest: int = 0,
        validation: int = 0,
    ) -> None:
        check_whole(modulus=modulus, lowest=lowest)
        if not 2 <= modulus <= MOST:
            raise ValueError(f"modulus must be at least 2, and at most {MOST:,}, got {modulus}")
        if operation != DIVISION and operation not in OPERATIONS:
            known = [*OPERATIONS, DIVISION]
            raise ValueError(
                f"unknown operation {operation!r}{nearest(operation, known)} (known: {', '.join(known)})"
            )
        if operation == DIVISION and not is_prime(modulus):
            raise ValueError(f"division needs a prime modulus, and {modulus} is not prime")
        if not 0 <= lowest < modulus:
            raise ValueError(f"lowest must lie in [0, modulus), got {lowest}")
        self.modulus = modulus
        self.operation = operation
        self.lowest = lowest
        super().__init__(modulus, train_fraction, label_corruption, include_true, validation)

    def table(self) -> tuple[Tensor, Tensor]:
        """Every pair and its label: int64 ``(n, 2)`` and ``(n,)``.

        Raises:
            ValueError: if there is too little memory.
        """
        pairs = (self.modulus - self.lowest) ** 2
        check_memory(f"{pairs:,} pairs of residues", 64 * pairs)
        first = torch.arange(self.lowest, self.modulus)
        second = first[first > 0] if self.operation == DIVISION else first
        x = torch.cartesian_prod(first, second)
        a, b = x.unbind(1)
        if self.operation == DIVISION:
            inverse = torch.tensor([0, *(pow(k, -1, self.modulus) for k in range(1, self.modulus))])
            return x, a * inverse[b] % self.modulus
        return x, OPERATIONS[self.operation](a, b) % self.modulus


def is_prime(n: int) -> bool:
    """Whether ``n`` is prime, by trial division: moduli are small."""
    return n > 1 and all(n % k for k in range(2, math.isqrt(n) + 1))
