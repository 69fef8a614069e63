"""Eigenvalues of a symmetric matrix that is known by its products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.measures.band_lanczos import BandLanczos

Product = Callable[[Tensor], Tensor]
FURTHER_STARTS = 0x9E3779B9  # their seed, which hardly anybody draws the first one by


@dataclass(frozen=True)
class Tridiagonal:
    """The result of ``iterations`` matrix products: ``A Q = Q T`` up to a remainder.

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

    Ends early where the Krylov space is exhausted, or a product is not finite: then all is ``nan``. Costs
    ``iterations`` products and memory for as many vectors. Of a multiple eigenvalue it sees one copy, whose
    weight is that of all.

    Args:
        product: ``A v`` for ``v`` of ``(size,)``.
        start: any vector but 0.
        iterations: number of iterations, at least 1.
    """
    q = start / start.norm()
    basis = [q]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    scale = torch.zeros_like(q[0])
    for _ in range(min(iterations, len(start))):
        w = product(q)
        scale = torch.maximum(scale, w.norm())
        diagonal.append(w @ q)
        space = torch.stack(basis)
        for _ in range(2):  # once is not enough
            w = w - space.T @ (space @ w)
        length = w.norm()
        least = 10 * torch.finfo(w.dtype).eps * scale
        if len(diagonal) == min(iterations, len(start)) or not length > least:
            break
        beside.append(length)
        q = w / length
        basis.append(q)
    # In float64 on the processor: the matrix is tiny, and its smallest entries matter.
    t = torch.diag(torch.stack(diagonal).double().cpu())
    for k, length in enumerate(beside):
        t[k, k + 1] = t[k + 1, k] = length.double().cpu()
    if not bool(t.isfinite().all()):
        nothing = torch.full_like(t[0], torch.nan)
        return Tridiagonal(nothing, nothing, torch.full_like(torch.stack(basis).T, torch.nan))
    values, rotation = torch.linalg.eigh(t)
    vectors = torch.stack(basis).T @ rotation.to(start)
    return Tridiagonal(values, rotation[0].square(), vectors)


def top_eigenvalues(product: Product, start: Tensor, count: int, iterations: int) -> tuple[Tensor, Tensor]:
    """The ``count`` algebraically largest eigenvalues, descending, and their vectors ``(size, count)``.

    Multiple eigenvalues come as often as they are: from one starting vector Lanczos' method sees one copy, so
    that there are as many as eigenvalues. Costs ``iterations`` products; more, up to twice as many, where
    residuals are above a thousandth of the largest eigenvalue; errors are about as the squares of these.

    Args:
        product: ``A v``.
        start: a random vector; each eigenvector has to have a part in it. Further ones are always the same.
        count: number of eigenvalues, at most ``iterations``; fewer are returned if the matrix has fewer.
        iterations: products that are spent at least.
    """
    if count == 1:
        found = lanczos(product, start, iterations)
        return found.values[-1:], found.vectors[:, -1:]
    generator = torch.Generator().manual_seed(FURTHER_STARTS)
    further = torch.randn(count - 1, len(start), generator=generator).to(start)
    space = BandLanczos(product, torch.cat([start[None], further]))
    for spent in range(1, 2 * iterations + 1):
        if not space.grow() or (spent >= iterations and spent % count == 0 and space.converged(count)):
            break
    values, rotation = space.top(count)
    return values, space.vectors(rotation)


def spectral_density(product: Product, starts: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """All eigenvalues as a density: points and their weights, which sum to 1.

    Stochastic Lanczos quadrature: the mean over random starting vectors of their spectral measures. Exact for
    moments of degree up to ``2 iterations - 1``, up to the sampling of the vectors. A multiple eigenvalue is
    one point with the weight of all its copies. Ghorbani et al., arXiv 1901.10159.

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
