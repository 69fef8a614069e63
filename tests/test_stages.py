"""A stage that several runs share, with real training as the stage."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result, records
from regrun.records.record import Record, Status

Start = Callable[..., "subprocess.Popen[str]"]

# Prunes a trained network by magnitude: what five arms would do with one network.
PRUNING = '''\
import torch
from regrun.procedures import Description


class Pruning:
    """Sets the smallest weights of a trained network to zero, and measures what is left."""

    metrics = ("kept", "norm", "noise")

    def __init__(self, pretraining, share: float) -> None:
        self.pretraining = pretraining
        self.share = share

    def __call__(self, context) -> dict[str, float]:
        torch.manual_seed(context.seed)
        torch.rand(3)
        trained = context.stage("pretraining", self.pretraining)
        context.begin(Description(steps=1))
        state = torch.load(trained.checkpoint, weights_only=True)["state_dict"]
        weights = torch.cat([w.flatten() for name, w in state.items() if name.startswith("model.")])
        cut = weights.abs().quantile(self.share)
        kept = weights[weights.abs() > cut]
        noise = float(torch.rand(()))
        result = {"kept": len(kept) / len(weights), "norm": float(kept.norm()), "noise": noise}
        context.log(1, result)
        return result
'''
PROCEDURE = """\
# Train, then prune.
_target_: pruning.Pruning
pretraining:
  _target_: regrun.procedures.training.SupervisedTraining
  dataset: ${dataset}
  model: ${model}
  optimizer: ${optimizer}
  schedule: ${schedule}
  augmentations: ${augmentation}
  regularizers: ${regularizer}
  probes: ${probe}
  steps: ${steps}
  eval_every: ${eval_every}
  batch_size: ${batch_size}
share: ${share}
"""
EXPERIMENT = """\
# @package _global_
defaults:
  - override /dataset: modular_arithmetic
  - override /model: mlp
  - override /regularizer: [none]
  - override /probe: [none]
  - override /procedure: pruning
  - override /logger: csv
paper: {title: Pruning}
dataset: {modulus: 7}
model: {hidden: [16, 16]}
steps: 600
eval_every: 100
checkpoint_seconds: 0
share: 0.5
arms:
  share:
    values: [0.1, 0.3, 0.5, 0.7, 0.9]
    overrides: ["share={}"]
claims:
  shrinks:
    says: The more is pruned, the less is left.
    expect: decreasing(norm[share])
  orders:
    says: In order.
    expect: spearman(norm[share]) <= -0.99
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pruning.py").write_text(PRUNING)
    for group, text in {"experiment": EXPERIMENT, "procedure": PROCEDURE}.items():
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / "pruning.yaml").write_text(text)
    monkeypatch.setenv("REGRUN_TRUST", "pruning")
    return tmp_path


def stages(folder: Path) -> list[Record]:
    return [Record(file.parent) for file in sorted(folder.glob("outputs/stages/*/run.json"))]


def test_arms_that_share_a_stage_run_it_once(regrun_afresh: Callable[..., Result], folder: Path) -> None:
    result = regrun_afresh("reproduce", "pruning", "--config-dir", "conf")
    assert result.code == 0, result.out + result.err
    assert len(records(folder)) == 5 * 3
    assert len(stages(folder)) == 3
    for stage in stages(folder):
        assert stage.status is Status.COMPLETE
        assert stage.manifest()["resumed"] == []
        assert len(stage.history()) == 7
    norms: dict[object, set[float]] = {}
    for record in map(Record, records(folder)):
        manifest, metrics = record.manifest(), record.result()["metrics"]
        norms.setdefault(manifest["seed"], set()).add(metrics["norm"])
        # What follows the stage draws the same numbers, whether the stage was trained or found.
        norms.setdefault((manifest["seed"], "noise"), set()).add(metrics["noise"])
    assert all(len(norms[seed]) == 5 for seed in range(3))
    assert all(len(norms[seed, "noise"]) == 1 for seed in range(3))


def test_two_processes_that_want_a_stage_at_once(start: Start, folder: Path) -> None:
    words = ["--config-dir", "conf", "experiment=pruning", "trainer.threads=1"]
    processes = [start(*words, f"share={share}") for share in (0.2, 0.4, 0.6)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, (out, err)
    (stage,) = stages(folder)
    assert stage.manifest()["resumed"] == []
    assert len({Record(r).result()["metrics"]["noise"] for r in records(folder)}) == 1


def test_a_stage_killed_half_way_is_gone_on_with(start: Start, folder: Path) -> None:
    words = ["--config-dir", "conf", "experiment=pruning", "trainer.threads=1", "steps=3000"]
    process = start(*words)
    deadline = time.monotonic() + 60
    while not (found := stages(folder)) or len(found[0].history()) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    (stage,) = stages(folder)
    assert stage.status is Status.DIED
    again = start(*words)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, (out, err)
    assert stage.status is Status.COMPLETE
    assert len(stage.manifest()["resumed"]) == 1
    assert [step for step, _ in stage.history()] == list(range(0, 3001, 100))
