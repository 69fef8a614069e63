"""What belongs to one paper: truncation, compression, construction, training that arms share."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import Result, records
from regrun.papers.malignant_tail import refitted_logits
from regrun.papers.rethinking_generalization import fit
from regrun.procedures.evaluation import Features
from regrun.records.record import Record

Command = Callable[..., Result]
needs_data = pytest.mark.skipif(
    "REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where the real data lie"
)
SMALL = ("scale=smoke", "logger=csv")


@pytest.mark.parametrize("n", [1, 2, 50, 200])
def test_the_constructed_network_fits_any_labels(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    z = torch.randn(n, generator=generator, dtype=torch.float64)
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    b, w = fit(z, y)
    hidden = (z[:, None] - b).clamp_min(0)
    torch.testing.assert_close(hidden @ w, y, atol=1e-8, rtol=0)
    ordered = (z.sort().values[:, None] - b).clamp_min(0)
    assert torch.equal(ordered, ordered.tril())
    assert (ordered.diagonal() > 0).all()


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


@needs_data
def test_a_baseline_that_all_arms_share_is_trained_once(regrun: Command, tmp_path: Path) -> None:
    """It is the training of the first arm, too; and of a solver's cost along time there is a figure."""
    words = ("--scale", "smoke", "--seeds", "1", "hydra/launcher=basic", "logger=csv")
    result = regrun("reproduce", "nde", *words, f"data_dir={os.environ['REGRUN_DATA']}")
    assert result.code == 0, (result.out, result.err)
    entry = json.loads((tmp_path / "outputs" / "nde" / "verdicts-smoke.json").read_text())
    assert {arm["seeds"] for arm in entry["arms"].values()} == {1}
    assert {claim["verdict"] for claim in entry["claims"]} == {"not run"}
    assert len(list(tmp_path.glob("outputs/stages/*/result.json"))) == len(entry["arms"])
    assert (tmp_path / "outputs" / "nde" / "figures-smoke" / "profiles.png").exists()


@needs_data
def test_the_memory_of_elr_travels_with_the_checkpoint(regrun: Command, tmp_path: Path) -> None:
    words = ("experiment=label_noise", *SMALL, f"data_dir={os.environ['REGRUN_DATA']}", "regularizer=elr")
    assert regrun(*words).code == 0
    (record,) = records(tmp_path)
    state = torch.load(record / "checkpoint.ckpt", weights_only=True)["state_dict"]
    memory = state["regularizers.elr.targets"]
    assert memory.shape == (60, 10)
    weight = 1 - 0.7**2  # after two epochs of two steps
    torch.testing.assert_close(memory.sum(1), torch.full((60,), weight), atol=1e-3, rtol=0)
    assert "best" in state
