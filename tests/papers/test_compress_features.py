"""How many features are kept."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from conftest import SMALL, Command, needs_data, records
from regrun.data import Samples, Splits
from regrun.models import Output
from regrun.papers import compress_features
from regrun.records.record import Record
from samples import unrecorded


@needs_data
def test_the_number_of_features_is_chosen_on_validation(regrun: Command, tmp_path: Path) -> None:
    words = ("experiment=compress_features", *SMALL, f"data_dir={os.environ['REGRUN_DATA']}")
    assert regrun(*words, "regularizer=[nested_dropout,co_teaching]", "procedure.kept=[1,4,16]").code == 0
    (record,) = (r for r in records(tmp_path) if r.parts[-3] == "compress_features")
    metrics = Record(record).result()["metrics"]
    assert metrics["kept_features"] in (1, 4, 16)
    rows = {int(row["step"]): row for row in csv.DictReader((record / "metrics.csv").open())}
    assert metrics["test_accuracy"] == pytest.approx(
        float(rows[int(metrics["kept_features"])]["cut_accuracy"])
    )
    assert metrics["all_features_accuracy"] == pytest.approx(float(rows[16]["cut_accuracy"]))
    refused = regrun(*words, "dataset.validation=0")
    assert refused.code == 2
    assert "dataset.validation must be above 0" in refused.err


def test_features_that_mislead_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three features tells a class, the fourth is not read, and the fifth misleads."""
    y = torch.arange(12) % 3
    z = 2 * torch.eye(3, 5)[y]
    z[:, 4] = 5.0  # the head takes it for the last class
    given = y.clone()
    given[:2] = 2  # wrong labels of samples of the classes 0 and 1

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 3, bias=False)
            weight = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1]])
            self.head.weight = nn.Parameter(weight)

        def forward(self, x: torch.Tensor) -> Output:
            return Output(self.head(x), x)

    inputs = SimpleNamespace(prepare=lambda x: x)
    task = SimpleNamespace(model=Network(), inputs=inputs, evaluation_batch=5, eval=lambda: None)
    parts = Samples(z, y, y)
    splits = Splits(Samples(z, given, y), parts, Samples(z, given, y))
    stage = SimpleNamespace(
        curves={"test_accuracy": {0: 0.3, 5: 0.9, 9: 0.6}}, metrics={"train_accuracy": 0.7}
    )
    monkeypatch.setattr(compress_features, "trained", lambda training, context: (stage, splits, task))
    training = SimpleNamespace(dataset=SimpleNamespace(validation=12))
    context = unrecorded()
    compression = compress_features.FeatureCompression(training, [1, 2, 3, 4, 5])  # type: ignore[arg-type]
    found = compression(context)  # type: ignore[arg-type]
    # Without a feature of its own a class has logits of 0, all alike, which count as the first class.
    cut = {step: row["cut_accuracy"] for step, row in context.rows.items()}
    assert cut == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1, 4: 1, 5: 1 / 3})
    assert found["kept_features"] == 3  # the smallest of equals
    assert found["validation_accuracy"] == 1  # of clean labels
    assert found["test_accuracy"] == 1
    assert found["memorized"] == 0
    assert found["all_features_accuracy"] == pytest.approx(1 / 3)
    assert found["best_epoch_accuracy"] == 0.9
