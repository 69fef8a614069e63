"""What a teacher knows of crops, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conftest import SMALL, Command
from regrun.papers.ferkd import CropDistillation
from regrun.procedures.distillation import Distillation
from regrun.regularizers import RegionLabels, SoftTargets
from samples import unrecorded

CLEAN = torch.tensor([0, 0, 1, 1, 1])


def procedure(regularizer: SoftTargets) -> CropDistillation:
    train = SimpleNamespace(clean=CLEAN)
    dataset = SimpleNamespace(classes=2, load=lambda data_dir, seed: SimpleNamespace(train=train))
    student = SimpleNamespace(dataset=dataset, regularizers={"labels": regularizer})
    return CropDistillation(SimpleNamespace(dataset=dataset), student)  # type: ignore[arg-type]


@pytest.mark.parametrize("low", [0.6, 0.0])
def test_regions_are_counted_and_scored(low: float, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = RegionLabels(low=low, middle=0.8)

    def distil(self: Distillation, context: object) -> dict[str, float]:
        p = torch.tensor([0.9, 0.3, 0.05, 0.45, 0.95])  # of class 0
        labels.teach(torch.stack([p, 1 - p], 1).log())
        return {}

    monkeypatch.setattr(Distillation, "__call__", distil)
    found = procedure(labels)(unrecorded())  # type: ignore[arg-type]
    shares = [found[f"region_share/region={name}"] for name in ("background", "unsure", "sure")]
    assert shares == pytest.approx([0.2, 0.2, 0.6] if low else [0, 0.4, 0.6])
    assert found["region_accuracy/region=sure"] == pytest.approx(2 / 3)  # the last is sure, and wrong
    assert found["region_accuracy/region=unsure"] == 0.5  # with the background


def test_of_no_crops_there_is_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = RegionLabels(low=0.0, middle=1.0)
    monkeypatch.setattr(Distillation, "__call__", lambda self, context: labels.teach(torch.zeros(5, 2)) or {})
    found = procedure(labels)(unrecorded())  # type: ignore[arg-type]
    assert math.isnan(found["region_accuracy/region=sure"])
    assert found["region_accuracy/region=unsure"] == pytest.approx(0.4)  # of equals the first class


def test_a_student_has_to_tell_regions(regrun: Command, tmp_path: Path) -> None:
    words = ("procedure=ferkd/crop_distillation", "regularizer=soft_targets")
    regions = regrun("experiment=ferkd", *words, *SMALL)
    assert regions.code == 2
    assert "choose regularizer=region_labels" in regions.err
    assert not list(tmp_path.rglob("result.json"))
