"""Two stages on a long tail: what is measured of each class."""

from __future__ import annotations

import torch
from torch import nn

from regrun.papers.wcdas import class_accuracies


def test_class_accuracies_are_of_each_class() -> None:
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    z = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert class_accuracies(head, z, torch.tensor([0, 0, 1, 1]), 2).tolist() == [0.5, 1.0]
    assert class_accuracies(head, z, torch.zeros(4, dtype=torch.long), 2)[1].isnan()
