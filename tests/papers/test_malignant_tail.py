"""Features truncated to directions, with a head fitted anew."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch

from conftest import SMALL, Command, needs_data, records
from regrun.papers.malignant_tail import refitted_logits
from regrun.procedures.evaluation import Features
from regrun.records.record import Record


def test_the_refitted_head_is_least_squares() -> None:
    """A head that one can fit exactly is found, on all directions and on those that matter alone."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    z = torch.nn.functional.one_hot(y, 5).double() + 4
    train, test = Features(z[:40], y[:40], y[:40]), Features(z[40:], y[40:], y[40:])
    mean = train.z.mean(0)
    directions = torch.linalg.svd(train.z - mean).Vh
    for d in (2, 5):
        logits = refitted_logits(train, test, mean, directions[:d])
        torch.testing.assert_close(logits, torch.nn.functional.one_hot(y[40:], 3).double())
    random = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q[:1]
    assert refitted_logits(train, test, mean, random).shape == (20, 3)


@needs_data
def test_truncation_to_every_direction_changes_nothing(regrun: Command, tmp_path: Path) -> None:
    result = regrun("experiment=malignant_tail", *SMALL, f"data_dir={os.environ['REGRUN_DATA']}")
    assert result.code == 0, result.err
    (record,) = (r for r in records(tmp_path) if r.parts[-3] == "malignant_tail")
    rows = list(csv.DictReader((record / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows] == [3, 9, 16]
    last = rows[-1]  # the network has 16 features
    assert last["truncated_accuracy"] == last["random_accuracy"] == last["full_accuracy"]
    assert last["truncated_memorized"] == last["full_memorized"]
    (stage,) = tmp_path.glob("outputs/stages/seed0-*")
    trained = Record(stage).result()["metrics"]
    assert float(last["full_accuracy"]) == pytest.approx(trained["test_accuracy"], abs=1e-6)
    assert float(last["full_memorized"]) == pytest.approx(trained["memorized"], abs=1e-6)
