"""A batch of samples."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Mixture(NamedTuple):
    """The parents of a mixed batch: sample ``i`` mixes samples ``i`` and ``partner[i]``.

    Attributes:
        x: the inputs before mixing, ``(batch, ...)``.
        partner: positions in the batch, ``(batch,)`` of int64.
        share: weight of sample ``i`` itself, ``(batch,)`` in ``[0, 1]``; the partner has the rest.
    """

    x: Tensor
    partner: Tensor
    share: Tensor


class Batch(NamedTuple):
    """A batch of samples.

    Attributes:
        x: inputs, ``(batch, ...)``.
        y: targets: class indices ``(batch,)``, or class probabilities ``(batch, classes)`` if a regularizer
            has mixed or smoothed them; other criteria define their own.
        index: each sample's position in its split, ``(batch,)`` of int64, for methods that keep a value per
            sample.
        mixture: the parents, if the batch is mixed.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # tuple has a method of this name, unused here
    mixture: Mixture | None = None
