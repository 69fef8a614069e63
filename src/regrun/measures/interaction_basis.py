"""Bases of hidden layers with few relevant directions: PCA, and the local interaction basis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DROP = 1e-5  # eigenvalues below count as zero


@dataclass(frozen=True)
class Basis:
    """New features ``C^T f`` of a layer, the most important first; nan where they are not known.

    Attributes:
        change: ``C``, ``(width, directions)``.
        back: ``B`` with ``f = B^T C^T f`` for the layer's activations, ``(directions, width)``.
    """

    change: Tensor
    back: Tensor

    def projection(self, count: int) -> Tensor:
        """The matrix ``P`` for which ``f P`` keeps the first ``count`` directions of a row ``f``."""
        return self.change[:, :count] @ self.back[:count]

    def __len__(self) -> int:
        return self.change.shape[1]


def eigenpairs(matrix: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Eigenvalues above ``least``, descending, and eigenvectors of a symmetric matrix.

    All are nan if an entry of the matrix is not finite.
    """
    if not matrix.isfinite().all():
        return matrix.new_full((len(matrix),), torch.nan), torch.full_like(matrix, torch.nan)
    values, vectors = torch.linalg.eigh(matrix)
    values, vectors = values.flip(0), vectors.flip(1)
    kept = values > least
    return values[kept], vectors[:, kept]


def _widened(x: Tensor) -> Tensor:
    """The tensor in float32 at least, in which eigenvectors are computed."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def gram(f: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, descending and above ``DROP``, and eigenvectors of ``E[f f^T]``.

    They are nan if that is not finite, and float32 for activations in half precision.
    """
    f = _widened(f)
    return eigenpairs(f.T @ f / len(f), DROP)


def principal_basis(f: Tensor) -> Basis:
    """The eigenvectors of the (uncentred) Gram matrix; nan if it is not finite.

    Args:
        f: activations with a constant entry, ``(n, width)``.
    """
    _, u = gram(f)
    return Basis(u, u.T)


def local_interaction_basis(f: Tensor, sensitivity: Tensor, drop: float = DROP) -> Basis:
    """The basis that whitens activations and then diagonalizes how the next layer's features react to them.

    With ``E[f f^T] = U D U^T`` and ``(U D^1/2)^T E[J^T J] (U D^1/2) = V L V^T``, ``C = U D^-1/2 V L^1/2``.
    Bushnaq et al., arXiv 2405.10928. It is nan if one of these matrices is not finite.

    Args:
        f: activations with a constant entry, ``(n, width)``.
        sensitivity: ``E[J^T J]`` with the Jacobians ``J`` of the following layers, ``(width, width)``.
        drop: directions whose eigenvalue is below are left out.
    """
    d, u = gram(f)
    half = u * d.sqrt()
    strength, v = eigenpairs(half.T @ _widened(sensitivity) @ half, drop)
    change = (u / d.sqrt()) @ v * strength.sqrt()
    back = (v / strength.sqrt()).T @ half.T
    return Basis(change, back)
