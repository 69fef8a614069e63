"""The recall of each class, against scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import recall_score

from regrun.data import Samples, Splits
from regrun.papers.nc_longtail import LongTailRecall
from samples import double


def test_recall_is_scikit_learns_and_few_are_the_rarest() -> None:
    z, y = double(60, 4), torch.arange(60) % 4
    rare = torch.tensor([0] * 5 + [1] * 50 + [2] * 7 + [3] * 20)
    splits = Splits(Samples(rare[:, None], rare, rare), Samples(z, y, y))
    inputs = SimpleNamespace(prepare=lambda x: x)
    task = SimpleNamespace(
        model=torch.nn.Identity(), inputs=inputs, classes=4, evaluation_batch=7, eval=lambda: None
    )
    training = SimpleNamespace(dataset=SimpleNamespace(classes=4))
    recall = LongTailRecall(training, few=2)  # type: ignore[arg-type]
    found = recall.measure(task, splits, None, None)  # type: ignore[arg-type]
    theirs = recall_score(y, z.argmax(1), average=None)
    assert [found[f"recall/class={c}"] for c in range(4)] == pytest.approx(theirs)
    assert found["few_recall"] == pytest.approx((theirs[0] + theirs[2]) / 2)
