from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import SMOKE, Result
from regrun.record import Record


def test_two_ranks_give_the_curve_of_one(regrun_afresh: Callable[..., Result], tmp_path: Path) -> None:
    """Real processes over gloo, the same global batch: equal up to the order of summation."""
    words = [*SMOKE, "regularizer=[stablemax,perp_grad,weight_decay]", "optimizer=sgd", "batch_size=48"]
    for place, trainer in {
        "one": [],
        "two": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        result = regrun_afresh(*words, *trainer, f"outputs=outputs/{place}")
        assert result.code == 0, result.err
        assert result.out.count("test_accuracy") == 1  # only one rank speaks
    one, two = (Record(next((tmp_path / "outputs" / p).glob("*/*/*"))).history() for p in ("one", "two"))
    assert len(one) == len(two) == 3
    for (step, ours), (other_step, theirs) in zip(one, two, strict=True):
        assert step == other_step
        assert ours == pytest.approx(theirs, rel=2e-4, abs=2e-5)


def test_the_memory_of_elr_is_one_for_all_ranks(regrun_afresh: Callable[..., Result], tmp_path: Path) -> None:
    """Rank 0 writes the checkpoint, and has the predictions for the samples of both; batches of odd size."""
    words = [*SMOKE, "regularizer=elr", "optimizer=sgd", "batch_size=37"]
    memories = {}
    for place, trainer in {
        "one": [],
        "two": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        result = regrun_afresh(*words, *trainer, f"outputs=outputs/{place}")
        assert result.code == 0, result.err
        (file,) = (tmp_path / "outputs" / place).rglob("checkpoint.ckpt")
        memories[place] = torch.load(file, weights_only=True)["state_dict"]["regularizers.elr.targets"]
    assert (memories["one"].sum(1) > 0.3).all()
    torch.testing.assert_close(memories["two"], memories["one"], atol=1e-4, rtol=1e-3)
