from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SMOKE, Result, only_record, records

Command = Callable[..., Result]


def refused(result: Result, says: str, folder: Path) -> None:
    """One line that says what is wrong, exit code 2, and nothing left behind."""
    assert result.code == 2
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("regrun: ")
    assert says in lines[0]
    assert "Traceback" not in result.out
    left = [p for p in folder.iterdir() if p.name not in ("conf", "my.yaml", "disk")]
    assert left == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["experiment=grokkin"], "unknown experiment 'grokkin'; did you mean 'grokking'?"),
        (["experiment=grokking", "regularizer=stabelmax"], "did you mean 'stablemax'?"),
        (["experiment=grokking", "regularizer=[none,stabelmax]"], "did you mean 'stablemax'?"),
        (
            ["experiment=grokking", "datset=modular_arithmetic"],
            "unknown key 'datset'; did you mean 'dataset'?",
        ),
        (["experiment=grokking", "dataset.modulo=7"], "did you mean 'dataset.modulus'?"),
        (["model=mpl"], "unknown model 'mpl'; did you mean 'mlp'?"),
        (["+model.hiden=[3]"], "MLP has no parameter 'hiden'; did you mean 'hidden'?"),
        (
            ["+regularizer.perp_grad.rescale=false"],
            "regularizer.perp_grad is set, but perp_grad is not chosen",
        ),
        (["scale=tiny"], "unknown scale 'tiny'"),
        (["optimizer.betas=[0.9"], "cannot read 'optimizer.betas=[0.9'"),
        (["-m", "experiment=grokking,grokkin"], "unknown experiment 'grokkin'"),
        (["-m", "dataset.modulo=7,11"], "did you mean 'dataset.modulus'?"),
        (["dataset.operation=a/b", "dataset.modulus=12"], "12 is not prime"),
        (["dataset.train_fraction=1.5"], "strictly between 0 and 1, got 1.5"),
        (["dataset.train_fraction=0"], "strictly between 0 and 1, got 0"),
        (["dataset.modulus=seven"], "dataset.modulus: expected int, got 'seven'"),
        (["dataset.train_fraction=null"], "dataset.train_fraction: expected float, got None"),
        (["batch_size=all"], "procedure.batch_size: expected int | null, got 'all'"),
        (["seed=first"], "seed: expected int, got 'first'"),
        (["steps=0"], "at least 1"),
        (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
        (["regularizer=[stablemax,softmax_fp16]"], "stablemax and softmax_fp16 both replace the loss"),
        (["model=transformer", "dataset=sparse_parity"], "reads symbols"),
        (["procedure._target_=os.system"], "outside the packages a config may use"),
        (["+hydra.callbacks.x._target_=os.system"], "not with regrun"),
        (
            ["procedure._target_=regrun.records.record.os.system"],
            "there is no module 'os' in regrun.records.record",
        ),
        (["--config-dir", "nosuch", "experiment=grokking"], "there is no such folder"),
        (["--config-dir", "/usr/lib", "experiment=grokking"], "holds no regrun configs"),
        (["logger.wandb.mode=sometimes", "scale=smoke"], "must be one of auto, online, offline"),
        (["lsit"], "did you mean 'list'?"),
        (["show", "grokkin"], "did you mean 'grokking'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(regrun: Command, tmp_path: Path, words: list[str], says: str) -> None:
    refused(regrun(*words), says, tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(regrun: Command, tmp_path: Path) -> None:
    refused(regrun(*SMOKE, "trainer=gpu"), "No supported gpu backend found", tmp_path)


def test_a_config_that_is_not_yaml(regrun: Command, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("steps: [3\n")
    result = regrun("--config-dir", "conf", "experiment=mine")
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written(regrun: Command, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").touch()
    refused(regrun(*SMOKE, "outputs=my.yaml/below"), "cannot open 'my.yaml/below'", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("options", ["size=8k", "size=16k", "size=40k", "size=16k,ro"])
def test_a_disk_without_room(regrun: Command, tmp_path: Path, options: str) -> None:
    """Full at the beginning, full when the state is saved, and read-only."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        result = regrun(*SMOKE, f"outputs={disk}/outputs")
        assert result.code == 2
        assert len(result.err.strip().splitlines()) == 1, result.err
        assert ("Read-only file system" if "ro" in options else "No space left") in result.err
        assert not list(disk.glob("**/result.json"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_corrupt_checkpoint_is_named_and_force_starts_over(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*SMOKE).code == 0
    record = only_record(tmp_path)
    (record / "result.json").unlink()
    checkpoint = record / "checkpoint.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    result = regrun(*SMOKE)
    assert result.code == 2
    assert "checkpoint.ckpt: it was cut off" in result.err
    assert "force=true" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert regrun(*SMOKE, "force=true").code == 0
    assert only_record(tmp_path) == record


@pytest.mark.parametrize("file", ["result.json", "run.json"])
def test_a_damaged_record_is_named(regrun: Command, tmp_path: Path, file: str) -> None:
    assert regrun(*SMOKE).code == 0
    record = only_record(tmp_path)
    if file == "run.json":
        (record / "result.json").unlink()
    (record / file).write_text('{"status": "comp')
    result = regrun(*SMOKE)
    assert result.code == 2
    assert f"regrun: damaged: {record.relative_to(tmp_path) / file}: it is not JSON" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_a_loss_that_diverges_names_its_step_and_keeps_the_last_good_state(
    regrun: Command, tmp_path: Path
) -> None:
    words = ["scale=smoke", "logger=csv", "dataset.modulus=11", "steps=200", "eval_every=1"]
    result = regrun(*words, "optimizer=sgd", "optimizer.lr=1e12", "checkpoint_seconds=0")
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    assert "the loss became" in result.err
    step = int(result.err.split("at step ")[1].split(";")[0])
    record = only_record(tmp_path)
    assert json.loads((record / "run.json").read_text())["status"] == "failed"
    assert not (record / "result.json").exists()
    state = torch.load(record / "checkpoint.ckpt", weights_only=True)
    assert state["global_step"] == step - 1
    weights = [v for k, v in state["state_dict"].items() if k.startswith("model.")]
    assert all(torch.isfinite(w).all() for w in weights)


def test_data_that_changed_under_a_run_are_noticed(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*SMOKE).code == 0
    record = only_record(tmp_path)
    (record / "result.json").unlink()
    manifest = json.loads((record / "run.json").read_text())
    (record / "run.json").write_text(json.dumps(manifest | {"data_fingerprint": "other"}))
    result = regrun(*SMOKE)
    assert result.code == 2
    assert "the data have changed" in result.err
    assert len(records(tmp_path)) == 1
