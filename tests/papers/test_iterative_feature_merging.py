"""Units that are merged."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regrun.data import Features
from regrun.models import MLP
from regrun.papers.iterative_feature_merging import TwoLayers, merges, two_layers
from samples import double


def test_units_that_are_equal_merge_without_a_trace() -> None:
    torch.manual_seed(0)
    net = two_layers(MLP(Features((4,)), 3, hidden=(6,)))
    twice = TwoLayers(torch.cat([net.into, net.into[:2]]), torch.cat([net.out, net.out[:2]]), net.bias)
    x = double(20, 4)
    steps = list(merges(twice))
    assert [len(merged) for _, merged in steps] == [7, 6, 5, 4, 3, 2, 1]
    for share, merged in steps[:2]:
        assert share == pytest.approx(0, abs=1e-15)
        torch.testing.assert_close(merged.logits(x), twice.logits(x))
    assert steps[2][0] > 0
    _, averaged = list(merges(twice, average_incoming=True))[1]
    assert not torch.allclose(averaged.logits(x), twice.logits(x))


def test_merging_is_for_one_hidden_layer() -> None:
    with pytest.raises(ValueError, match="one hidden layer"):
        two_layers(MLP(Features((4,)), 3, hidden=(6, 6)))
    with pytest.raises(ValueError, match="one hidden layer"):
        two_layers(nn.Linear(3, 3))
