"""Neural collapse: the distance of class means, features and the head from a simplex.

If all class means coincide they have no directions, and measures that compare directions are ``nan``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.measures.share import share, unless_nan


@dataclass(frozen=True)
class Scatter:
    """Class means and the variance around them.

    Attributes:
        means: means of each class's features, less the global mean, ``(classes, width)``.
        centre: global mean, the mean of the class means, so classes weigh the same, ``(width,)``.
        within: trace of the covariance within classes, averaged over classes.
        within_matrix: covariance within classes, averaged over classes, ``(width, width)``.
    """

    means: Tensor
    centre: Tensor
    within: Tensor
    within_matrix: Tensor

    @property
    def between(self) -> Tensor:
        """Trace of the covariance of the class means."""
        return self.means.square().sum(1).mean()

    @property
    def trace_ratio(self) -> Tensor:
        """NC1: ``tr S_W / tr S_B``, 0 where each class is a point.

        Infinite where class means are the same and samples are not, ``nan`` where all samples are one point.
        """
        return self.within / self.between

    @property
    def pseudo_inverse_ratio(self) -> Tensor:
        """NC1 as Papyan et al. have it: ``tr(S_W S_B^+) / K``. Noisy where ``S_B`` is nearly singular.

        As ``trace_ratio`` where class means are the same: their pseudo-inverse, 0, would say collapsed.
        """
        k = len(self.means)
        between = self.means.T @ self.means / k
        if not bool(between.trace() > 0):  # nan, too, which has no pseudo-inverse
            return self.trace_ratio
        inverse = torch.linalg.pinv(between, hermitian=True, rtol=1e-9)
        return (self.within_matrix * inverse.T).sum() / k


def scatter(features: Tensor, y: Tensor, classes: int) -> Scatter:
    """Class means and variances of features, in float64.

    Classes without samples are left out.

    Args:
        features: ``(n, width)``.
        y: class indices, ``(n,)``.
        classes: maximum number of classes.
    """
    z = features.double()
    present = [c for c in range(classes) if bool((y == c).any())]
    means = torch.stack([z[y == c].mean(0) for c in present])
    inner = torch.stack([_covariance(z[y == c]) for c in present]).mean(0)
    centre = means.mean(0)
    same = (z == z[:1]).all()  # rounding would otherwise separate equal rows
    means, inner = (means - centre).masked_fill(same, 0), inner.masked_fill(same, 0)
    return Scatter(means, centre, inner.trace(), inner)


def _covariance(z: Tensor) -> Tensor:
    away = z - z.mean(0)
    return away.T @ away / len(z)


def cosines(means: Tensor) -> Tensor:
    """Cosines between centred class means, each pair once."""
    unit = means / means.norm(dim=1, keepdim=True).clamp_min(1e-300)
    k = len(means)
    above = torch.ones(k, k, dtype=torch.bool, device=means.device).triu(1)
    return (unit @ unit.T)[above]


def equal_norms(means: Tensor) -> Tensor:
    """NC2: the relative spread of the class means' norms, 0 where they are equal; ``nan`` if all are 0."""
    norms = means.norm(dim=1)
    return norms.std(correction=0) / norms.mean()


def equal_angles(means: Tensor) -> Tensor:
    """NC2: the mean distance of the cosines from ``-1 / (K - 1)``, 0 where they form a simplex.

    Raises:
        ValueError: for a single class, which has no angles.
    """
    if len(means) < 2:
        raise ValueError(f"angles between class means need at least 2 classes, got {len(means)}")
    return (cosines(means) + 1 / (len(means) - 1)).abs().mean()


def simplex_distance(means: Tensor) -> Tensor:
    """NC2 in one number: Frobenius distance of the normalized Gram matrix from the simplex's.

    ``nan`` if all means are 0.

    Raises:
        ValueError: for a single class, which has no simplex.
    """
    k = len(means)
    if k < 2:
        raise ValueError(f"a simplex of class means needs at least 2 classes, got {k}")
    gram = means @ means.T
    simplex = torch.eye(k, dtype=gram.dtype, device=gram.device) - 1 / k
    return (gram / gram.norm() - simplex / simplex.norm()).norm()


def self_duality(means: Tensor, head: Tensor) -> Tensor:
    """NC3: distance of the head's rows from the class means, both normalized as matrices.

    ``nan`` if one of them is 0.

    Args:
        means: centred class means, ``(K, width)``.
        head: weights, ``(K, width)``.
    """
    head = head.to(means)
    return (head / head.norm() - means / means.norm()).norm()


def nearest_mean_disagreement(features: Tensor, logits: Tensor, found: Scatter) -> Tensor:
    """NC4: the share of samples whose predicted class is not that of the nearest class mean.

    ``nan`` if a feature or a logit is.
    """
    near = torch.cdist(features.double(), found.means + found.centre).argmin(1)
    return unless_nan(share(near != logits.argmax(1), logits), features)
