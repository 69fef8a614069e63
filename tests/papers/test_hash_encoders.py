"""What codes tell, where that is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from regrun.data import Samples, Splits
from regrun.papers.hash_encoders import HashCodes


def exclusive_or(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Codes of two blocks of units, each on or off but for a tenth; the class is whether they differ."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.stack([torch.arange(n) % 2, torch.arange(n) // 2 % 2], 1)
    codes = blocks.repeat_interleave(30, 1).bool()
    return codes ^ (torch.rand(codes.shape, generator=generator) < 0.1), blocks[:, 0] ^ blocks[:, 1]


def test_clusters_and_neighbours_tell_what_no_linear_map_does() -> None:
    (train, y), (test, y_test) = exclusive_or(200, 0), exclusive_or(80, 1)
    splits = Splits(Samples(train, y, y), Samples(test, y_test, y_test))
    codes = HashCodes(SimpleNamespace(), neighbours=5, clusters=2)  # type: ignore[arg-type]
    found = codes.classical(train, test, splits, 0)
    assert found["kmeans_accuracy"] == 1
    assert found["logistic_accuracy"] == pytest.approx(0.5, abs=0.2)
    assert codes.knn(train, test, splits, 2) == 1
    # True labels are what the classifiers see.
    noisy = Splits(Samples(train, 1 - y, y), splits.test)
    assert codes.knn(train, test, noisy, 2) == codes.classical(train, test, noisy, 0)["kmeans_accuracy"] == 1
