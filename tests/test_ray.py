"""Sweeps on a real Ray cluster of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import SMOKE, Result, wait_for_step
from regrun.records.record import Status
from tiny import write_tiny

Start = Callable[..., "subprocess.Popen[str]"]
pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.xdist_group("ray"),
]
ON_RAY = ("hydra/launcher=ray", "trainer.threads=1")


def test_a_reproduction_gives_the_verdicts_of_one_machine(
    regrun_afresh: Callable[..., Result], tmp_path: Path
) -> None:
    entries = []
    for place, words in {"here": (), "there": ON_RAY}.items():
        result = regrun_afresh("reproduce", *write_tiny(tmp_path), f"outputs=outputs/{place}", *words)
        assert result.code == 1, result.err  # one claim is not reproduced
        entries.append(json.loads((tmp_path / "outputs" / place / "tiny" / "verdicts.json").read_text()))
    here, there = entries
    assert here["claims"] == there["claims"]
    assert [v["final"] for v in here["arms"].values()] == [v["final"] for v in there["arms"].values()]


def test_a_run_whose_worker_dies_goes_on_from_its_checkpoint(start: Start, tmp_path: Path) -> None:
    words = [*SMOKE, "steps=6000", "eval_every=2000", "checkpoint_seconds=0", "seed=0"]
    process = start("-m", *words, *ON_RAY)
    record = wait_for_step(tmp_path, 2000, process)
    os.kill(record.manifest()["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert record.status is Status.COMPLETE
    assert len(record.manifest()["resumed"]) == 1


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Of two machines with a core each, as far as Ray can tell."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # or the tests beside it leave its runs nothing
    cores = {"num_cpus": 1, "memory": 2 * 2**30, "object_store_memory": 100 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={**cores, "include_dashboard": False})
    found.add_node(**cores)
    yield found
    found.shutdown()


def test_runs_of_a_lost_machine_go_on_elsewhere(start: Start, tmp_path: Path, cluster: Any) -> None:
    """What decides a run is the launcher's: its folder, variables and modules, not the cluster's."""
    words = [*SMOKE, "steps=8000", "eval_every=500", "checkpoint_seconds=0", "resources.memory_gb=1"]
    place = f"hydra.launcher.address={cluster.address}"
    own = tmp_path / "mine.py"
    own.write_text("from regrun.regularizers.base import Regularizer\nclass Nothing(Regularizer): pass\n")
    words.append("+regularizer.mine._target_=mine.Nothing")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"REGRUN_DATA": "elsewhere", "REGRUN_TRUST": "mine", "PYTHONPATH": path}
    process = start("-m", *words, *ON_RAY, place, "seed=0,1,2", **environment)
    records = [wait_for_step(tmp_path, 500, process)]
    records.append(wait_for_step(tmp_path, 500, process, other_than=records))
    (machine,) = cluster.worker_nodes
    cluster.remove_node(machine, allow_graceful=False)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, (out, err)
    assert "3 runs: 3 complete" in out
    assert sorted(len(record.manifest()["resumed"]) for record in records) == [0, 1]
    assert yaml.safe_load(records[0].config_file.read_text())["data_dir"] == "elsewhere"


def test_a_cluster_is_asked_for_memory(regrun_afresh: Callable[..., Result], cluster: Any) -> None:
    place = f"hydra.launcher.address={cluster.address}"
    result = regrun_afresh("-m", *SMOKE, *ON_RAY, place, "resources.memory_gb=3")
    assert result.code == 2, (result.out, result.err)
    assert "no machine of the Ray cluster has what a run asks for: 1 CPU, 0 GPU, 3 GB" in result.err


def test_ctrl_c_saves_what_runs(start: Start, tmp_path: Path) -> None:
    words = [*SMOKE, "steps=1000000", "eval_every=50", "checkpoint_seconds=0"]
    process = start("-m", *words, *ON_RAY, "seed=0,1,2,3,4,5,6,7")
    record = wait_for_step(tmp_path, 50, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, (out, err)
    assert record.status is Status.INTERRUPTED, record.manifest().get("message")
    assert "not started" in out


def test_what_no_machine_has_is_said_at_once(
    regrun_afresh: Callable[..., Result],
) -> None:
    for asked, said in {
        "resources.cpus=1000": "no machine of the Ray cluster has what a run asks for: 1000 CPU",
        "trainer.devices=2": "runs one process for each run",
        "hydra.launcher.address=127.0.0.1:1": "no Ray cluster at 127.0.0.1:1",
    }.items():
        result = regrun_afresh("-m", *SMOKE, "hydra/launcher=ray", asked)
        assert result.code == 2, (result.out, result.err)
        assert said in result.err
        assert "Traceback" not in result.err
