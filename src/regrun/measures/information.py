"""Mutual information between a layer of a deterministic network and its input or its label."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def adaptive_codes(t: Tensor, bins: int = 30) -> Tensor:
    """Activations, binned so that each bin holds equally many of the distinct values of the layer.

    EBAB of Chelombiev et al., arXiv 1902.09037. The edges are quantiles of the distinct values of all units
    together.

    Args:
        t: activations ``(n, units)``.
        bins: number of bins.

    Returns:
        int64 ``(n, units)``.
    """
    distinct = t.unique()
    places = torch.arange(1, bins, device=t.device) * len(distinct) // bins
    return torch.bucketize(t, distinct[places].unique(), right=True)


def code_entropy(codes: Tensor) -> Tensor:
    """Shannon entropy of the rows as they occur, in bits: ``log2 n`` where all differ.

    Args:
        codes: integers, ``(n, units)``.
    """
    counts = codes.unique(dim=0, return_counts=True)[1].double()
    return torch.special.entr(counts / counts.sum()).sum() / math.log(2)


def code_information(codes: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """``I(T;X)``, which is the entropy of the codes, and ``I(T;Y) = H(T) - H(T|Y)``, in bits.

    Args:
        codes: integers, ``(n, units)``.
        y: class indices, ``(n,)``.
    """
    entropy = code_entropy(codes)
    shares = {int(label): (y == label).double().mean() for label in y.unique()}
    within = sum((share * code_entropy(codes[y == c]) for c, share in shares.items()), torch.zeros(()))
    return entropy, entropy - within


def kernel_entropy(t: Tensor, variance: float = 1e-3) -> Tensor:
    """An upper bound of the entropy of a layer with Gaussian noise that scales with it, in bits.

    ``-1/n sum_i log2 1/n sum_j exp(-|t_i - t_j|^2 / (2 s^2))``, where ``s^2`` is ``variance`` times the
    square of the layer's largest absolute activation: aKDE of Chelombiev et al., arXiv 1902.09037, after
    Kolchinsky & Tracey. Whether the paper scales the variance or the deviation is not known; this scales the
    deviation.

    Args:
        t: activations ``(n, units)``.
        variance: variance of the noise, for a layer whose largest activation is 1.
    """
    t = t.double()
    s = t.abs().amax().clamp_min(1e-12) * math.sqrt(variance)
    exponents = -torch.cdist(t, t).square() / (2 * s**2)
    return -(exponents.logsumexp(1) - math.log(len(t))).mean() / math.log(2)
