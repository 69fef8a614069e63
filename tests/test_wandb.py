"""The real thing: an offline run, read back with W&B's own reader."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import wandb
import yaml

from conftest import Result, only_record, records
from regrun.errors import UserError
from regrun.loggers.base import RunInfo
from regrun.loggers.reaching import why_silent
from regrun.loggers.wandb import WandbLogger, choose_mode, has_key
from regrun.procedures.trainer import Interruptible
from regrun.records.record import Record
from regrun.runs.run import STOP

Command = Callable[..., Result]
RUN = ("experiment=grokking", "scale=smoke", "regularizer=stablemax", "seed=3")


def read_back(record: Path) -> list[dict[str, Any]]:
    """Every entry of the record's one offline run, as W&B's inspector prints it."""
    (file,) = record.glob("wandb/offline-run-*/run-*.wandb")
    core = Path(wandb.__file__).parent / "bin" / "wandb-core"
    if not core.exists():
        pytest.skip("this wandb has no inspector")
    command = [str(core), "leet", "inspect", "-json", "-no-observability", "-run-file", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def items(entries: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry[kind] for entry in entries if entry["type"] == kind]


def measured(values: dict[str, Any]) -> dict[str, float]:
    """Without W&B's own fields, such as the time."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


def curve(entries: list[dict[str, Any]]) -> list[tuple[int, dict[str, float]]]:
    return [(item["step"]["num"], measured(item["item"])) for item in items(entries, "history")]


def test_an_offline_run_holds_what_the_record_holds(regrun: Command, tmp_path: Path) -> None:
    result = regrun(*RUN)
    assert result.code == 0, result.err
    record = Record(only_record(tmp_path))
    entries = read_back(record.directory)
    (run,) = items(entries, "run")
    assert run["display_name"] == "grokking/stablemax_same_betas/seed3"
    assert run["run_group"] == "grokking"
    assert run["tags"] == ["stablemax_same_betas", "smoke"]
    assert run["run_id"] == record.manifest()["identity"]
    assert measured(run["config"]["update"]) == yaml.safe_load(record.config_file.read_text())
    assert curve(entries) == record.history()
    summary: dict[str, Any] = {}
    for item in items(entries, "summary"):
        summary |= measured(item["update"])
    assert summary == record.result()["metrics"] | {"status": "complete"}
    (end,) = items(entries, "exit")
    assert end["exit_code"] == 0


def test_a_resumed_run_has_one_offline_run_with_the_whole_curve(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = Interruptible.on_train_batch_end

    def look(self: Interruptible, trainer: Any, *rest: Any) -> None:
        STOP.asked = trainer.global_step == 13
        looked(self, trainer, *rest)

    monkeypatch.setattr(Interruptible, "on_train_batch_end", look)
    assert regrun(*RUN).code == 130
    record = Record(only_record(tmp_path))
    assert [step for step, _ in curve(read_back(record.directory))] == [0, 10]
    monkeypatch.setattr(Interruptible, "on_train_batch_end", looked)
    assert regrun(*RUN).code == 0
    assert curve(read_back(record.directory)) == record.history()
    assert len(record.history()) == 3


def test_each_run_of_a_stack_has_an_offline_run_of_its_own(regrun: Command, tmp_path: Path) -> None:
    assert regrun("-m", *RUN[:3], "seed=4,5", "engine=vmap").code == 0
    for folder in records(tmp_path):
        record = Record(folder)
        assert record.manifest()["notes"] == ["one of 2 stacked runs"]
        assert curve(read_back(folder)) == record.history()


def test_no_key_lands_in_a_record(regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "0123456789abcdef" * 2 + "deadbeef"
    monkeypatch.setenv("WANDB_API_KEY", key)
    result = regrun(*RUN, "logger.wandb.mode=offline")
    assert result.code == 0, result.err
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.suffix == ".wandb" for file in files)
    for file in files:
        assert key.encode() not in file.read_bytes(), file


def test_a_config_cannot_smuggle_a_key_into_a_record(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef" * 2 + "deadbeef")
    result = regrun(*RUN, "logger=csv", "+paper.note=${oc.env:WANDB_API_KEY}")
    assert result.code == 2
    assert "a config may read" in result.err
    assert "deadbeef" not in result.err
    assert not list(tmp_path.iterdir())


def test_without_wandb_nothing_of_it_is_there(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*RUN, "logger=csv").code == 0
    assert not list(tmp_path.rglob("*wandb*"))


def test_the_mode_follows_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not has_key()
    assert choose_mode() == "offline"
    host = urlparse(wandb.Settings().base_url).hostname
    (tmp_path / "netrc").write_text(f"machine {host}\n  login user\n  password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert choose_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert choose_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k")
    assert choose_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert choose_mode() == "offline"


KEY = "0123456789abcdef" * 2 + "deadbeef"
REFUSED = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and whatever is sent, and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("mode", ["auto", "online"])
@pytest.mark.parametrize("network", ["refused", "silent", "dead proxy", "silent proxy"])
def test_without_a_network_a_run_is_offline_or_refused_within_ten_seconds(
    mode: str, network: str, silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = REFUSED if network in ("refused", "dead proxy") else silent
    address = "https://wandb.example.org" if network.endswith("proxy") else dead
    if network.endswith("proxy"):
        monkeypatch.setenv("HTTPS_PROXY", dead)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", address)
    why_silent.cache_clear()
    logger = WandbLogger(mode)
    run = RunInfo(f"r{mode}{network[0]}{network[-1]}", "x", "a", 0, "small", {}, tmp_path)
    began = time.monotonic()
    if mode == "online":
        with pytest.raises(UserError) as error:
            logger.start(run)
        words = str(error.value)
        assert "logger.wandb.mode=offline and logger=csv need no network" in words
    else:
        words = logger.start(run) or ""
        assert words.startswith("offline files, for regrun sync to send: ")
        logger.finish("complete", {})
        assert list(tmp_path.glob("wandb/offline-run-*"))
    assert time.monotonic() - began < 10
    assert f"W&B's server {address} does not answer (" in words
    assert "\n" not in words


def test_a_run_without_a_network_ends_by_itself(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, silent: str
) -> None:
    process = start(*RUN, "probe=none", WANDB_API_KEY=KEY, WANDB_BASE_URL=silent)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert err == ""
    (line,) = [line for line in out.splitlines() if "does not answer" in line]
    assert line.startswith("logging to offline files, for regrun sync to send: ")
    assert Record(only_record(tmp_path)).result()


def test_a_broken_wandb_is_said_in_one_line(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "broken" / "wandb").mkdir(parents=True)
    (tmp_path / "broken" / "wandb" / "__init__.py").write_text("raise TypeError('half installed')\n")
    process = start(*RUN, PYTHONPATH=str(tmp_path / "broken"))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert err.strip() == "regrun: W&B cannot be imported (half installed): logger=csv does without"
    process = start(*RUN, "logger=csv", PYTHONPATH=str(tmp_path / "broken"))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err


def test_sync_finds_what_waits_and_needs_a_server(
    regrun: Command, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    assert regrun(*RUN).code == 0
    listed = regrun("sync", "--dry-run")
    assert listed.code == 0, listed.err
    assert "1 offline run to send" in listed.out
    assert only_record(tmp_path).name in listed.out
    keyless = regrun("sync")
    assert keyless.code == 2
    assert "wandb login" in keyless.err
    process = start("sync", WANDB_API_KEY=KEY, WANDB_BASE_URL=REFUSED)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "http://127.0.0.1:9 does not answer" in err
    sent = next(tmp_path.glob("outputs/**/wandb/offline-run-*"))
    (sent / f"{next(sent.glob('run-*.wandb')).name}.synced").touch()  # as W&B leaves it
    assert "0 offline runs to send" in regrun("sync").out
