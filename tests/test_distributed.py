"""Runs of several real processes over gloo, against the same run in one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SMOKE, Result, records, wait_for_step
from regrun.records.record import Record, Status

Start = Callable[..., "subprocess.Popen[str]"]
SMALL = (
    *SMOKE,
    "trainer.threads=1",
    "batch_size=37",
)  # of 96 samples: shares are uneven
PARTS = {
    "weights": ("optimizer=sgd", "regularizer=[stablemax,perp_grad,weight_decay]"),
    "logits": ("optimizer=sgd", "regularizer=[maxsup,mbls,acls,clip_gradient]"),
    "memory": ("model=transformer", "model.dropout=0", "optimizer=sgd", "regularizer=[elr,label_smoothing]"),
}


def on(strategy: str, ranks: int) -> list[str]:
    return [f"trainer={strategy}", "trainer.accelerator=cpu", f"trainer.devices={ranks}"]


def children(pid: int) -> list[int]:
    """The processes that a process has started, of the same command."""
    found = [int(p) for t in Path(f"/proc/{pid}/task").glob("*/children") for p in t.read_text().split()]
    return [p for p in found if b"regrun" in Path(f"/proc/{p}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("strategy", "ranks", "parts"),
    [
        ("ddp", 2, "weights"),
        ("ddp", 2, "memory"),
        ("fsdp", 2, "weights"),
        ("fsdp", 2, "memory"),
        ("fsdp", 2, "logits"),
        ("ddp", 4, "weights"),
        ("fsdp", 4, "weights"),
    ],
)
def test_several_ranks_give_the_curve_of_one(
    regrun: Callable[..., Result],
    regrun_afresh: Callable[..., Result],
    tmp_path: Path,
    strategy: str,
    ranks: int,
    parts: str,
) -> None:
    """The same global batch: equal up to the order of summation."""
    words = [*SMALL, *PARTS[parts]]
    assert regrun(*words, "outputs=outputs/one").code == 0
    result = regrun_afresh(*words, *on(strategy, ranks), "outputs=outputs/many")
    assert result.code == 0, result.err
    assert result.out.count("test_accuracy") == 1  # only one rank speaks
    one, many = (Record(next((tmp_path / "outputs" / p).glob("*/*/*"))).history() for p in ("one", "many"))
    assert len(one) == len(many) == 3
    for (step, ours), (other_step, theirs) in zip(one, many, strict=True):
        assert step == other_step
        assert ours == pytest.approx(theirs, rel=2e-4, abs=2e-5)


def test_the_record_names_what_acts_on_shares(regrun_afresh: Callable[..., Result], tmp_path: Path) -> None:
    words = ["experiment=custom", "dataset=sparse_parity", "logger=csv", "steps=2", "eval_every=2"]
    result = regrun_afresh(*words, "regularizer=[mixup,weight_decay]", *on("ddp", 2))
    assert result.code == 0, result.err
    (folder,) = records(tmp_path)
    assert Record(folder).manifest()["notes"] == ["within each process's share of a batch: mixup"]


def test_the_memory_of_elr_is_one_for_all_ranks(regrun_afresh: Callable[..., Result], tmp_path: Path) -> None:
    """Rank 0 writes the checkpoint, and has the predictions for the samples of both."""
    memories = {}
    for place, trainer in {"one": [], "two": on("ddp", 2)}.items():
        result = regrun_afresh(
            *SMALL, "regularizer=elr", "optimizer=sgd", *trainer, f"outputs=outputs/{place}"
        )
        assert result.code == 0, result.err
        (file,) = (tmp_path / "outputs" / place).rglob("checkpoint.ckpt")
        memories[place] = torch.load(file, weights_only=True)["state_dict"]["regularizers.elr.targets"]
    assert (memories["one"].sum(1) > 0.3).all()
    torch.testing.assert_close(memories["two"], memories["one"], atol=1e-4, rtol=1e-3)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes through /proc")
def test_a_lost_process_is_named_and_any_number_of_ranks_goes_on(start: Start, tmp_path: Path) -> None:
    """Two sharded ranks, of which one is killed; then four, stopped by Ctrl-C; then one to the end."""
    words = [*SMALL, "optimizer=sgd", "steps=3000", "eval_every=500", "checkpoint_seconds=0"]
    words.append("optimizer.lr=0.03")  # at a higher one rounding grows
    killed = start(*words, *on("fsdp", 2))
    record = wait_for_step(tmp_path, 500, killed)
    os.kill(children(killed.pid)[0], signal.SIGKILL)
    _, err = killed.communicate(timeout=60)
    assert killed.returncode == 1
    assert "another process of this run has ended" in err
    assert "Traceback" not in err
    assert record.status is Status.FAILED

    stopped = start(*words, *on("ddp", 4))
    wait_for_step(tmp_path, record.last_step() + 500, stopped)
    stopped.send_signal(signal.SIGINT)  # to one of the four
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, err
    assert record.status is Status.INTERRUPTED

    last = start(*words)
    out, err = last.communicate(timeout=60)
    assert last.returncode == 0, (out, err)
    straight = start(*words, "outputs=outputs/straight")
    straight.communicate(timeout=60)
    (other,) = (tmp_path / "outputs" / "straight").glob("*/*/*")
    assert len(record.manifest()["resumed"]) == 2
    ours, theirs = record.result()["metrics"], Record(other).result()["metrics"]
    for name in ("loss", "train_loss", "test_loss", "weight_norm"):
        assert ours[name] == pytest.approx(theirs[name], rel=2e-3), name


def test_what_needs_whole_weights_is_refused_by_name(
    regrun_afresh: Callable[..., Result], tmp_path: Path
) -> None:
    for words, said in {
        ("regularizer=[stablemax,l1]",): "l1: not with weights that are split",
        ("regularizer=[stablemax,weight_averaging]",): "weight_averaging: not with weights that are split",
        ("optimizer=muon",): "MuonWithAdamW: not with weights that are split",
        ("probe=hessian_spectrum",): "probe hessian_spectrum: needs whole weights",
        ("batch_size=19",): "the smallest batch of an epoch has 1 of 96 samples, too few for 2 processes",
    }.items():
        result = regrun_afresh(*SMALL, *words, *on("fsdp", 2))
        assert result.code != 0
        assert said in result.err
        assert "Traceback" not in result.err
    assert not list(tmp_path.rglob("run.json"))
