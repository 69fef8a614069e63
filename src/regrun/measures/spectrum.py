"""Ranks of a spectrum, and entropy of a diffusion on points."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(singular_values: Tensor) -> Tensor:
    """``exp(-sum q log q)`` of the singular values ``q``, normalized to sum 1 (Roy & Vetterli 2007).

    ``nan`` if all are 0.
    """
    q = singular_values / singular_values.sum()
    return torch.special.entr(q).sum().exp()


def stable_rank(singular_values: Tensor) -> Tensor:
    """``|A|_F^2 / |A|_2^2``: the sum of the squared singular values over the largest one's square.

    ``nan`` if all are 0.
    """
    squares = singular_values.square()
    return squares.sum() / squares.amax()


def diffusion_spectral_entropy(z: Tensor, sigma: float = 10.0, time: int = 1) -> Tensor:
    """How many directions a diffusion on the points spreads along, in bits.

    The kernel ``exp(-|z_i - z_j|^2 / (2 sigma^2))`` is divided by the square roots of its row sums, against
    the points' density, and normalized to a Markov matrix. Of its eigenvalues, without the trivial 1, the
    absolute values to the power of ``time`` are normalized to sum 1; the result is their Shannon entropy.
    ``nan`` if a coordinate is. Liu et al., arXiv 2312.04823. In float64; ``n^3`` operations.

    Args:
        z: points, ``(n, width)``.
        sigma: width of the kernel, in units of ``z``; the same throughout a run.
        time: steps of diffusion.
    """
    if len(z) < 2:
        return torch.zeros((), dtype=torch.float64, device=z.device)
    if bool(z.isnan().any()):
        return torch.full((), torch.nan, dtype=torch.float64, device=z.device)
    kernel = torch.exp(-torch.cdist(z.double(), z.double()).square() / (2 * sigma**2))
    density = kernel.sum(1).sqrt()
    kernel = kernel / (density[:, None] * density)
    degree = kernel.sum(1).sqrt()
    values = torch.linalg.eigvalsh(kernel / (degree[:, None] * degree))
    p = values[:-1].abs() ** time  # ascending: the last is the trivial one
    total = p.sum()
    if total <= 1e-12:
        return torch.zeros_like(total)
    return torch.special.entr(p / total).sum() / torch.log(torch.tensor(2.0, dtype=p.dtype))


def diffusion_information(
    z: Tensor, y: Tensor, generator: torch.Generator, sigma: float = 10.0, time: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Mutual information of points and labels by diffusion spectral entropy, in bits.

    The entropy of all points less the mean over classes of the entropy within one. Entropy grows with the
    number of points, so that a difference between sets of different sizes is biased; the second form takes
    the entropy of a random subset of the class's size instead of that of all points.

    Args:
        z: points, ``(n, width)``.
        y: class indices, ``(n,)``.
        generator: chooses the subsets.
        sigma: see ``diffusion_spectral_entropy``.
        time: see ``diffusion_spectral_entropy``.

    Returns:
        The entropy of all points, the plain form, and the one matched in size.
    """
    entropy = plain = diffusion_spectral_entropy(z, sigma, time)
    matched = torch.zeros_like(plain)
    for label in y.unique():
        mine = z[y == label]
        share = len(mine) / len(z)
        chosen = torch.randperm(len(z), generator=generator)[: len(mine)].to(z.device)
        within = diffusion_spectral_entropy(mine, sigma, time)
        plain = plain - share * within
        matched = matched + share * (diffusion_spectral_entropy(z[chosen], sigma, time) - within)
    return entropy, plain, matched
