from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SMOKE, Result, records
from regrun.records.record import Record, Status
from regrun.runs.environment import available_cores

Command = Callable[..., Result]


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=packed"]], ids=["one by one", "packed"])
def test_a_failing_job_spares_the_others_and_only_it_runs_again(
    regrun: Command, regrun_afresh: Command, tmp_path: Path, launcher: list[str]
) -> None:
    regrun = regrun_afresh if launcher else regrun
    # A modulus of 4 cannot be divided by; the second job of three fails.
    words = ["-m", *SMOKE, "dataset.operation='a/b'", "dataset.modulus=5,4,7", *launcher]
    first = regrun(*words)
    assert first.code == 1
    (failure,) = [line for line in first.out.splitlines() if line.startswith("✗")]
    assert "dataset.modulus=4" in failure
    assert "4 is not prime" in failure
    assert "3 runs: 2 complete, 1 failed" in first.out
    assert [Record(r).status for r in records(tmp_path)] == [Status.COMPLETE] * 2
    finished = {r: Record(r).result()["finished"] for r in records(tmp_path)}

    second = regrun(*words)
    assert second.code == 1
    assert "3 runs: 2 already complete, 1 failed" in second.out
    assert {r: Record(r).result()["finished"] for r in records(tmp_path)} == finished

    mended = regrun(*[word.replace("5,4,7", "5,3,7") for word in words])
    assert mended.code == 0
    assert "3 runs: 1 complete, 2 already complete" in mended.out


def test_packed_runs_give_the_same_numbers(regrun: Command, regrun_afresh: Command, tmp_path: Path) -> None:
    words = ["-m", *SMOKE, "seed=0,1", "trainer.threads=1"]
    assert regrun(*words, "outputs=outputs/one").code == 0
    assert regrun_afresh(*words, "outputs=outputs/many", "hydra/launcher=packed").code == 0
    one, many = (sorted((tmp_path / "outputs" / n).glob("*/*/*/metrics.csv")) for n in ("one", "many"))
    assert [f.read_text() for f in one] == [f.read_text() for f in many]
    assert len(one) == 2


def test_packed_runs_share_the_cores(
    regrun_afresh: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    cores = available_cores()
    for jobs, share in {cores: 1, 2: max(1, cores // 2)}.items():
        words = ["-m", *SMOKE, f"seed={jobs},100", "hydra/launcher=packed", f"hydra.launcher.n_jobs={jobs}"]
        assert regrun_afresh(*words, "force=true").code == 0
        for record in records(tmp_path):
            assert Record(record).manifest()["device"] == f"cpu, {share} thread{'s' if share > 1 else ''}"


def test_a_sweep_over_whole_experiments_and_components(regrun: Command, tmp_path: Path) -> None:
    swept = ["optimizer=glob([sgd,adam])", "regularizer=none,[stablemax,l1]"]
    result = regrun("-m", *SMOKE, *swept)
    assert result.code == 0, result.out
    assert "4 runs: 4 complete" in result.out
    assert len(records(tmp_path)) == 4
