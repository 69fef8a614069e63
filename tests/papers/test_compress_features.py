"""How many features are kept."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from conftest import SMALL, Command, needs_data, records
from regrun.records.record import Record


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
