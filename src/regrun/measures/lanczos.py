"""Eigenvalues of a symmetric matrix that is known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tridiagonal:
    """What ``iterations`` products tell: ``A Q = Q T`` up to a remainder.

    Attributes:
        values: eigenvalues of ``T``, ascending, ``(m,)``: Ritz values of ``A``.
        weights: squared first entries of its eigenvectors, ``(m,)``: with the values the Gauss quadrature
            of the spectral measure of the starting vector.
        vectors: Ritz vectors, ``(size, m)``.
    """

    values: Tensor
    weights: Tensor
    vectors: Tensor


def lanczos(product: Product, start: Tensor, iterations: int) -> Tridiagonal:
    """Lanczos' method with full reorthogonalization, in the format of the starting vector.

    Ends early where the Krylov space is exhausted. Costs ``iterations`` products and memory for as many
    vectors.

    Args:
        product: ``A v`` for ``v`` of ``(size,)``.
        start: any vector but 0.
        iterations: at least 1.
    """
    q = start / start.norm()
    basis = [q]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(iterations, len(start))):
        w = product(q)
        diagonal.append(w @ q)
        space = torch.stack(basis)
        for _ in range(2):  # once is not enough
            w = w - space.T @ (space @ w)
        length = w.norm()
        scale = torch.stack(diagonal).abs().amax()
        if len(diagonal) == min(iterations, len(start)) or length <= 10 * torch.finfo(w.dtype).eps * scale:
            break
        beside.append(length)
        q = w / length
        basis.append(q)
    # In float64 on the processor: the matrix is tiny, and its smallest entries matter.
    t = torch.diag(torch.stack(diagonal).double().cpu())
    for k, length in enumerate(beside):
        t[k, k + 1] = t[k + 1, k] = length.double().cpu()
    values, rotation = torch.linalg.eigh(t)
    vectors = torch.stack(basis).T @ rotation.to(start)
    return Tridiagonal(values, rotation[0].square(), vectors)


def top_eigenvalues(product: Product, start: Tensor, count: int, iterations: int) -> tuple[Tensor, Tensor]:
    """The ``count`` algebraically largest eigenvalues, descending, and their vectors ``(size, count)``.

    Args:
        product: ``A v``.
        start: a random vector; each eigenvector has to have a part in it.
        count: at most ``iterations``.
        iterations: products that are spent.
    """
    found = lanczos(product, start, iterations)
    return found.values.flip(0)[:count], found.vectors.flip(1)[:, :count]


def spectral_density(product: Product, starts: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """All eigenvalues as a density: points and their weights, which sum to 1.

    Stochastic Lanczos quadrature: the mean over random starting vectors of their spectral measures. Exact for
    moments of degree up to ``2 iterations - 1``, up to the sampling of the vectors. Ghorbani et al., arXiv
    1901.10159.

    Args:
        product: ``A v``.
        starts: random vectors of independent entries with mean 0 and variance 1, ``(vectors, size)``.
        iterations: products for each.
    """
    found = [lanczos(product, start, iterations) for start in starts]
    values = torch.cat([one.values for one in found])
    weights = torch.cat([one.weights for one in found]) / len(found)
    return values, weights


def hutchinson(product: Product, signs: Tensor) -> tuple[Tensor, Tensor]:
    """Estimates of the trace of ``A`` and of its squared Frobenius norm.

    Unbiased: the means of ``v . A v`` and ``|A v|^2`` (Hutchinson 1989).

    Args:
        product: ``A v``.
        signs: random vectors of entries -1 and 1, ``(vectors, size)``.
    """
    images = [product(v) for v in signs]
    trace = torch.stack([v @ w for v, w in zip(signs, images, strict=True)]).mean()
    return trace, torch.stack([w.square().sum() for w in images]).mean()


def random_signs(count: int, size: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Vectors of random entries -1 and 1, ``(count, size)``, of the format and device of ``like``."""
    return (2 * torch.randint(2, (count, size), generator=generator) - 1).to(like)
