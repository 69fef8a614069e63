"""Lanczos' method from several starting vectors at once, which sees multiple eigenvalues."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CONVERGED = 1e-3  # residual of an eigenvector, in units of the largest eigenvalue
ROWS = 32  # by which the memory for the basis grows


class Rest(NamedTuple):
    """The part of an image orthogonal to the basis, by which the basis is extended.

    Attributes:
        vector: the rest.
        scale: norm of the whole image, relative to which rounding is small.
        known: size of the basis at that time, which ends with the vector of this image.
    """

    vector: Tensor
    scale: Tensor
    known: int


class BandLanczos:
    """An orthonormal basis ``Q`` of the Krylov space of some vectors, and ``T = Q^T A Q``.

    With full reorthogonalization; what is exhausted is left out. Freund, *Band Lanczos method*, in Bai et
    al., *Templates for the Solution of Algebraic Eigenvalue Problems* (2000), 4.6.

    Args:
        product: ``A v`` for ``v`` of ``(size,)``.
        starts: linearly independent, ``(starts, size)``.
    """

    def __init__(self, product: Callable[[Tensor], Tensor], starts: Tensor) -> None:
        self.product = product
        self.basis = starts.new_empty(0, starts.shape[1])  # with rows to spare
        # In float64 on the processor: the matrix is tiny, and its smallest entries matter.
        self.matrix = torch.zeros(0, 0, dtype=torch.float64)
        self.waiting = deque(Rest(start, start.norm(), 0) for start in starts)

    @property
    def size(self) -> int:
        """How many vectors the basis has."""
        return len(self.matrix)

    def grow(self) -> bool:
        """Extend the basis by one vector, for one product; false if the Krylov space is exhausted."""
        while self.waiting and self.size < self.basis.shape[1]:
            rest, scale, known = self.waiting.popleft()
            w, _ = self.outside(rest, known)
            if not w.norm() >= 0.1 * rest.norm():  # little is left, of which rounding is no small part
                w, _ = self.outside(w)
            length = w.norm()
            if not length <= 10 * torch.finfo(w.dtype).eps * scale:
                break
        else:
            return False
        if self.size == len(self.basis):
            self.basis = torch.cat([self.basis, self.basis.new_empty(ROWS, len(w))])
        q = self.basis[self.size] = w / length
        image = self.product(q)
        self.matrix = torch.nn.functional.pad(self.matrix, (0, 1, 0, 1))
        rest, along = self.outside(image)
        self.matrix[-1] = self.matrix[:, -1] = along.double().cpu()
        self.waiting.append(Rest(rest, image.norm(), self.size))
        return True

    def outside(self, w: Tensor, known: int = 0) -> tuple[Tensor, Tensor]:
        """A vector without its part in the basis, beyond the first vectors, and that part's coefficients."""
        basis = self.basis[known : self.size]
        along = basis @ w
        w = w - basis.T @ along
        return w - basis.T @ (basis @ w), along  # once is not enough

    def top(self, count: int) -> tuple[Tensor, Tensor]:
        """The largest eigenvalues of ``T``, descending, and their eigenvectors, ``(m, count)``.

        All are ``nan`` where a product was not finite.
        """
        if not self.finite:
            nothing = torch.full_like(self.matrix, torch.nan)
            return nothing[0, :count], nothing[:, :count]
        values, rotation = torch.linalg.eigh(self.matrix)
        return values.flip(0)[:count], rotation.flip(1)[:, :count]

    def converged(self, count: int) -> bool:
        """Whether the largest eigenvalues of ``T`` are those of ``A``, by the residuals of their vectors."""
        if not self.finite or not self.waiting:
            return True
        values, rotation = self.top(count)
        rests = torch.stack([rest.vector for rest in self.waiting])
        products = (rests @ rests.T).double().cpu()
        shares = rotation[[rest.known - 1 for rest in self.waiting]]
        squares = ((products @ shares) * shares).sum(0)
        return bool((squares <= (CONVERGED * values.abs().max()) ** 2).all())

    @property
    def finite(self) -> bool:
        """Whether all products so far were finite."""
        return bool(self.matrix.isfinite().all())

    def vectors(self, rotation: Tensor) -> Tensor:
        """Combinations of the basis, ``(size, k)``, by coefficients ``(m, k)``."""
        return self.basis[: self.size].T @ rotation.to(self.basis)
