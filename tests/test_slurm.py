"""Sweeps on a real Slurm cluster of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from cluster import Cluster, reason_without, slurm
from conftest import SMOKE, Result, wait_for_step
from regrun.records.record import Record, Status
from tiny import write_tiny

Start = Callable[..., "subprocess.Popen[str]"]
MISSING = reason_without() or (None if find_spec("submitit") else "submitit is not installed")
pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.xdist_group("slurm"),  # the tests share one cluster of two cores
]
ON_SLURM = ("hydra/launcher=slurm", "hydra.launcher.at_once=4", "resources.memory_gb=1", "trainer.threads=1")
LONG = (*SMOKE, *ON_SLURM, "steps=1000000", "eval_every=50", "checkpoint_seconds=0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm() as found:
        yield found


def wait_until_empty(cluster: Cluster) -> None:
    """Wait until no job is left."""
    end = time.monotonic() + 60
    while left := cluster.ask("squeue", "--noheader"):
        assert time.monotonic() < end, left
        time.sleep(0.5)


def test_a_reproduction_gives_the_verdicts_of_one_machine(
    start: Start, tmp_path: Path, cluster: Cluster
) -> None:
    """More runs than cores, than fit into one array, and than the queue takes."""
    entries = []
    for place, words, variables in [("here", (), {}), ("there", ON_SLURM, cluster.variables)]:
        process = start("reproduce", *write_tiny(tmp_path), f"outputs=outputs/{place}", *words, **variables)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 1, (out, err)  # one claim is not reproduced
        entries.append(json.loads((tmp_path / "outputs" / place / "tiny" / "verdicts.json").read_text()))
    here, there = entries
    assert here["claims"] == there["claims"]
    assert {k: v["final"] for k, v in here["arms"].items()} == {
        k: v["final"] for k, v in there["arms"].items()
    }
    found = sorted((tmp_path / "outputs" / "there" / "tiny").glob("*/seed*/run.json"))
    environments = [json.loads(file.read_text())["environment"] for file in found]
    assert len(environments) == 12
    for environment in environments:
        log = Path(environment["log"])
        assert log.exists()
        assert environment["job"] in log.name


def test_runs_that_lose_their_place_go_on_from_their_checkpoints(
    start: Start, tmp_path: Path, cluster: Cluster
) -> None:
    """By ``scontrol requeue``, the warning before the time limit, ``scancel``, and ``kill -9``."""
    words = ["-m", *SMOKE, "steps=6000", "eval_every=2000", "checkpoint_seconds=0", "trainer.threads=1"]
    words.append("seed=0,1,2,3")
    wait_until_empty(cluster)
    process = start(*words, *ON_SLURM, **cluster.variables)
    ways = {
        0: lambda job, pid: cluster.ask("scontrol", "requeue", job),
        1: lambda job, pid: os.kill(pid, signal.SIGKILL),
        2: lambda job, pid: cluster.ask("scancel", "--signal=USR2", job),
        3: lambda job, pid: cluster.ask("scancel", job),
    }
    found: dict[int, Record] = {}
    while ways:
        record = wait_for_step(tmp_path, 2000, process, other_than=list(found.values()))
        manifest = record.manifest()
        found[manifest["seed"]] = record
        ways.pop(manifest["seed"])(manifest["environment"]["job"], manifest["pid"])
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    straight = start(*words, "outputs=outputs/straight")
    straight.communicate(timeout=120)
    for seed, record in found.items():
        assert record.status is Status.COMPLETE
        assert len(record.manifest()["resumed"]) == 1, seed
        (other,) = (tmp_path / "outputs" / "straight").glob(f"*/*/seed{seed}-*")
        assert record.result()["metrics"] == Record(other).result()["metrics"]


def test_runs_of_a_lost_node_go_on_when_it_is_back(start: Start, tmp_path: Path, cluster: Cluster) -> None:
    words = [*LONG, "steps=6000", "eval_every=2000"]
    wait_until_empty(cluster)
    process = start("-m", *words, "seed=0,1,2", **cluster.variables)
    record = wait_for_step(tmp_path, 2000, process)
    cluster.lose_node(tmp_path)
    assert record.status is Status.DIED
    cluster.start_node()
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    assert "3 runs: 3 complete" in out
    assert len(record.manifest()["resumed"]) == 1


def test_tasks_of_slurm_are_the_processes_of_a_run(start: Start, tmp_path: Path, cluster: Cluster) -> None:
    """Two, warned before the time limit: both stop after the same step, and both go on."""
    words = [*LONG, "steps=600", "eval_every=200", "optimizer=sgd"]
    wait_until_empty(cluster)
    ranks = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    process = start("-m", *words, *ranks, "seed=0", **cluster.variables)
    record = wait_for_step(tmp_path, 200, process)
    (job,) = cluster.ask("squeue", "--noheader", "--format=%i").split()
    cluster.ask("scancel", "--signal=USR2", job)
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, (out, err)
    assert record.status is Status.COMPLETE
    assert record.manifest()["device"].startswith("2 ×")
    straight = start(*[w for w in words if w not in ON_SLURM], "outputs=outputs/straight")
    straight.communicate(timeout=60)
    (other,) = (tmp_path / "outputs" / "straight").glob("*/*/*")
    ours, theirs = (found.result()["metrics"] for found in (record, Record(other)))
    for name in ("train_loss", "test_loss", "test_accuracy"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3)


def test_ctrl_c_saves_what_runs_and_withdraws_what_waits(
    start: Start, tmp_path: Path, cluster: Cluster
) -> None:
    process = start("-m", *LONG, "seed=0,1,2,3,4", **cluster.variables)
    record = wait_for_step(tmp_path, 50, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    assert record.status is Status.INTERRUPTED
    assert record.checkpoint.exists()
    assert "not started" in out
    wait_until_empty(cluster)


def test_what_can_never_run_is_said_at_once(
    regrun_afresh: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    for asked, said in {
        "resources.cpus=1000": "Slurm will never start the job",
        "resources.memory_gb=100000": "Slurm does not take the jobs",
        "+hydra.launcher.sbatch.partition=none": "Slurm does not take the jobs",
        "+hydra.launcher.sbatch.colour=red": "colour",
        "resources.minutes=0": "resources must be above 0",
    }.items():
        result = regrun_afresh("-m", *SMOKE, *ON_SLURM, asked)
        assert result.code == 2, result.err
        assert said in result.err
        assert "Traceback" not in result.err
