"""Some samples of a dataset, as training and evaluation see them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Mixture(NamedTuple):
    """What a mixed batch was mixed of: sample ``i`` of the batch and sample ``partner[i]`` of it.

    Attributes:
        x: the inputs before mixing, ``(batch, ...)``.
        partner: positions in the batch, ``(batch,)`` of int64.
        share: of the sample itself, ``(batch,)`` in ``[0, 1]``; the partner has the rest.
    """

    x: Tensor
    partner: Tensor
    share: Tensor


class Batch(NamedTuple):
    """Some samples of a dataset.

    Attributes:
        x: inputs, ``(batch, ...)``.
        y: targets: ``(batch,)`` of class indices, or ``(batch, classes)`` of probabilities where a
            regularizer has made them so; for other criteria as they say.
        index: each sample's position in its split, ``(batch,)`` of int64; methods that remember
            something per sample need it.
        mixture: what it was mixed of, if it was.
    """

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # tuple has a method of this name, unused here
    mixture: Mixture | None = None
