"""Records whose files were damaged: what every command says of each kind of damage."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import SMOKE, Result, only_record
from regrun.procedures.trainer import Interruptible
from regrun.records.damage import DamagedError
from regrun.records.record import Record, Status
from regrun.reproduction.plan import PlannedRun
from regrun.reproduction.progress import progress_of
from regrun.reproduction.reading import Reading
from regrun.runs.run import STOP

Command = Callable[..., Result]
Damage = Callable[[Path], None]

STUDY = """
from regrun.procedures import Context, Description

class Line:
    metrics = ("y",)

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, context: Context):
        context.begin(Description(steps=2))
        for step in range(3):
            context.log(step, {"y": self.slope * step, "z": 1.0})
        context.checkpoint.write_text("the end of a line")
        return {"y": self.slope * 2}

class Doubled(Line):
    def __init__(self, line: Line) -> None:
        self.line = line

    def __call__(self, context: Context):
        self.slope = 2 * context.stage("line", self.line).metrics["y"]
        return super().__call__(context)
"""
CONFIGS = {
    "procedure/line.yaml": "# A line.\n_target_: own_study.Line\nslope: ${slope}\n",
    "procedure/doubled.yaml": "# Twice.\n_target_: own_study.Doubled\n"
    "line: {_target_: own_study.Line, slope: '${slope}'}\n",
    "experiment/lines.yaml": """# @package _global_
defaults:
  - override /procedure: line
  - override /logger: csv
paper: {title: Lines}
slope: 1.0
scales: {smoke: []}
arms:
  flat: [slope=0.5]
  steep: [slope=2.0]
claims:
  rises:
    says: It rises.
    expect: last(y[flat]) > 0.5
  is_steep:
    says: It rises fast.
    expect: last(y[steep]) > 3
""",
}
LINES = ("--config-dir", "conf", "experiment=lines")


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms with three seeds each; no training, so that a run takes no time."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "own_study.py").write_text(STUDY)
    for name, text in CONFIGS.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(text)
    command = [sys.executable, "-m", "regrun.cli", "reproduce", "lines", "--config-dir", "conf"]
    result = subprocess.run(
        [*command, "hydra/launcher=basic"],
        cwd=folder,
        env={**os.environ, "REGRUN_TRUST": "own_study"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture
def here(reproduced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it, whose own module is imported anew."""
    shutil.copytree(reproduced, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("REGRUN_TRUST", "own_study")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_study", None)
    yield tmp_path
    sys.modules.pop("own_study", None)


def json_is(file: str, content: str | bytes) -> tuple[str, Damage]:
    def damage(record: Path) -> None:
        (record / file).write_bytes(content.encode() if isinstance(content, str) else content)

    return file, damage


def value_is(file: str, key: str, value: Any) -> tuple[str, Damage]:
    def damage(record: Path) -> None:
        content = json.loads((record / file).read_text())
        content.pop(key)
        if value is not None:
            content[key] = value
        (record / file).write_text(json.dumps(content))

    return file, damage


def cut(file: str) -> tuple[str, Damage]:
    def damage(record: Path) -> None:
        (record / file).write_bytes((record / file).read_bytes()[:40])

    return file, damage


def lines_are(change: Callable[[list[str]], list[str]]) -> tuple[str, Damage]:
    def damage(record: Path) -> None:
        file = record / "metrics.csv"
        file.write_text("".join(change(file.read_text().splitlines(keepends=True))))

    return "metrics.csv", damage


def gone(file: str) -> tuple[str, Damage]:
    return file, lambda record: (record / file).unlink()


def folder(file: str) -> tuple[str, Damage]:
    def damage(record: Path) -> None:
        (record / file).unlink(missing_ok=True)
        (record / file).mkdir()

    return file, damage


KINDS: dict[str, tuple[str, Damage]] = {
    **{
        f"{file} is {what}": json_is(file, content)
        for file in ("run.json", "result.json")
        for what, content in {
            "a list": "[]",
            "empty": "{}",
            "null": "null",
            "no text": b"\xff\xfe\x00\x81" * 50,
            "nothing": "",
            "too deep": "[" * 100_000,
        }.items()
    },
    "run.json was cut off": cut("run.json"),
    "result.json was cut off": cut("result.json"),
    "run.json is gone": gone("run.json"),
    "run.json is a folder": folder("run.json"),
    "result.json is a folder": folder("result.json"),
    "the status is unknown": value_is("run.json", "status", "complet"),
    "the status is a number": value_is("run.json", "status", 3),
    "started is missing": value_is("run.json", "started", None),
    "steps are words": value_is("run.json", "steps", "many"),
    "the environment is a list": value_is("run.json", "environment", []),
    "the time is not finite": value_is("run.json", "wall_seconds", float("inf")),
    "the seed is true": value_is("run.json", "seed", True),
    "notes are numbers": value_is("run.json", "notes", [1, 2]),
    "the codes are words": value_is("run.json", "computed_by", ["this one"]),
    "metrics are a list": value_is("result.json", "metrics", [1.0]),
    "a metric is a word": value_is("result.json", "metrics", {"y": "one"}),
    "the last step is missing": value_is("result.json", "last_step", None),
    "a row is short": lines_are(lambda lines: [*lines[:2], "1,0.5\n", *lines[3:]]),
    "a row is long": lines_are(lambda lines: [*lines[:2], "1,0.5,1.0,7.0\n", *lines[3:]]),
    "a row is empty": lines_are(lambda lines: [*lines[:2], "\n", *lines[2:]]),
    "a value is a word": lines_are(lambda lines: [*lines[:2], "1,half,1.0\n", *lines[3:]]),
    "a step is a word": lines_are(lambda lines: [*lines[:2], "one,0.5,1.0\n", *lines[3:]]),
    "a step comes twice": lines_are(lambda lines: [*lines[:2], lines[1], *lines[2:]]),
    "there is no header": lines_are(lambda lines: lines[1:]),
    "metrics.csv is no text": json_is("metrics.csv", b"\x00\xff\x81\n" * 30),
    "metrics.csv is a folder": folder("metrics.csv"),
    "the lock is a folder": folder("lock"),
    "config.yaml is gone": gone("config.yaml"),
    "config.yaml is a folder": folder("config.yaml"),
    "the checkpoint is empty": json_is("checkpoint.ckpt", ""),
    "the checkpoint was cut off": json_is("checkpoint.ckpt", b"PK\x03\x04" + b"x" * 100),
}


@pytest.fixture(params=KINDS)
def damaged(request: pytest.FixtureRequest, here: Path) -> tuple[Path, str]:
    """A complete record with one damage, and the file that it is in."""
    file, damage = KINDS[request.param]
    (record,) = here.glob("outputs/lines/flat/seed0-*")
    damage(record)
    return record, f"damaged: {record.relative_to(here) / file}: "


def test_what_needs_just_the_damaged_record_names_the_file(
    regrun: Command, here: Path, damaged: tuple[Path, str]
) -> None:
    record, says = damaged
    with pytest.raises(DamagedError):
        Record(record).check()
    for words in ([*LINES, "slope=0.5"], ["show", str(record.relative_to(here))]):
        result = regrun(*words)
        assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
        assert result.err.startswith(f"regrun: {says}")
        assert "Traceback" not in result.out
    if not (record / "lock").is_dir():
        assert regrun(*LINES, "slope=0.5", "force=true").code == 0
        assert Record(record).is_intact()
        Record(record).check()


def test_a_sweep_names_the_damaged_record_and_does_the_rest(
    regrun: Command, here: Path, damaged: tuple[Path, str]
) -> None:
    _, says = damaged
    swept = regrun("-m", *LINES, "slope=0.5,3.0", "seed=0,1")
    assert "Traceback" not in swept.out + swept.err
    unneeded = "checkpoint" in says or "lock" in says  # by what a complete run says
    done = "2 complete, 2 already complete" if unneeded else "2 complete, 1 already complete, 1 failed"
    assert done in swept.out
    assert swept.code == (0 if unneeded else 1)
    assert unneeded or says in swept.out


def test_a_reading_names_the_damaged_record_and_has_the_others(
    here: Path, damaged: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, says = damaged
    monkeypatch.chdir(here)
    runs = [
        PlannedRun(arm, seed, (), folder.name.split("-")[1], folder)
        for arm in ("flat", "steep")
        for seed in range(3)
        for folder in Path().glob(f"outputs/lines/{arm}/seed{seed}-*")
    ]
    reading = Reading(runs)
    bad = [run for run in runs if run.directory.absolute() == record]
    if "checkpoint" in says or "lock" in says:
        assert (reading.damaged(), reading.complete()) == ([], runs)
        return
    (line,) = reading.damaged()
    assert line.startswith((says, f"{bad[0].directory} was changed after it was completed"))
    assert reading.complete() == [run for run in runs if run not in bad]
    assert progress_of(bad[0].record).status in (Status.COMPLETE, Status.DAMAGED)


@pytest.mark.parametrize("kind", ["run.json is null", "metrics are a list", "a row is short"])
def test_a_reproduction_names_the_damaged_record_and_judges_the_rest(
    regrun: Command, here: Path, kind: str
) -> None:
    (record,) = here.glob("outputs/lines/flat/seed0-*")
    KINDS[kind][1](record)
    for verb in ("reproduce", "report"):
        result = regrun(verb, "lines", "--config-dir", "conf", "hydra/launcher=basic")
        assert "Traceback" not in result.out + result.err
        assert str(record.relative_to(here)) in result.err
        entry = json.loads((here / "outputs" / "lines" / "verdicts.json").read_text())
        verdicts = {claim["name"]: claim["verdict"] for claim in entry["claims"]}
        assert verdicts == {"rises": "not run", "is_steep": "reproduced"}
        assert verb == "report" or result.code in (1, 3)


def test_sync_leaves_out_a_record_whose_lock_is_damaged(regrun: Command, here: Path) -> None:
    records = sorted(here.glob("outputs/lines/flat/*"))
    for record in records:
        (record / "wandb" / "offline-run-1").mkdir(parents=True)
    (records[0] / "lock").unlink()
    (records[0] / "lock").mkdir()
    result = regrun("sync", "--dry-run")
    assert result.code == 0
    assert "2 offline runs to send" in result.out
    assert f"damaged: {records[0].relative_to(here) / 'lock'}: it is no file" in result.err


@pytest.mark.parametrize("content", ["[]", "{}", "null", b"\xff\x00", '{"schema_version": 1', '{"a": 1}'])
def test_an_entry_that_is_damaged_is_named_and_the_others_are_reported(
    regrun: Command, here: Path, content: str | bytes
) -> None:
    damaged = here / "outputs" / "lines" / "verdicts-large.json"
    damaged.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = regrun("report")
    assert result.code == 0
    assert "verdicts-large.json" in result.err
    assert len(result.err.splitlines()) == 1
    assert "lines" in result.out
    assert (here / "outputs" / "index.html").exists()
    shutil.copy(damaged, here / "outputs" / "lines" / "verdicts.json")  # which says what runs took
    assert regrun("reproduce", "lines", "--config-dir", "conf", "--dry-run").code == 0
    (here / "outputs" / "ledger").mkdir()
    shutil.copy(damaged, here / "outputs" / "ledger" / "lines.json")
    result = regrun("verify", "lines", "--config-dir", "conf")
    assert (result.code, len(result.err.splitlines())) == (2, 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][0] != "lock"][::6])
def test_a_damaged_stage_is_named_and_force_does_it_again(regrun: Command, here: Path, kind: str) -> None:
    words = [*LINES, "procedure=doubled"]
    assert regrun(*words, "seed=0").code == 0
    (stage,) = here.glob("outputs/stages/*")
    file, damage = KINDS[kind]
    damage(stage)
    (run,) = here.glob("outputs/lines/procedure*/*")
    (run / "result.json").unlink()
    result = regrun(*words)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert result.err.startswith(f"regrun: damaged: {stage.relative_to(here) / file}: ")
    assert regrun(*words, "force=true").code == 0
    Record(stage).check_whole()
    assert Record(run).final_metrics() == {"y": 8.0}


# ---------------------------------------------------------------- checkpoints


def other_model(checkpoint: dict[str, Any]) -> dict[str, Any]:
    weights = {name: value[..., :1] for name, value in checkpoint["state_dict"].items()}
    return {**checkpoint, "state_dict": weights}


FOREIGN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a list": (lambda checkpoint: [1, 2], "it has no weights"),
    "weights alone": (lambda checkpoint: {"state_dict": checkpoint["state_dict"]}, "optimizer_states, "),
    "a step alone": (lambda checkpoint: {"global_step": 5}, "it has no weights"),
    "another model": (other_model, "it is of another model"),
    "another optimizer": (lambda c: {**c, "optimizer_states": [{"state": {}}]}, "it is of another model"),
    "code": (lambda checkpoint: Path, "it cannot be read"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_checkpoint_of_something_else_is_named(regrun: Command, tmp_path: Path, kind: str) -> None:
    assert regrun(*SMOKE).code == 0
    record = only_record(tmp_path)
    (record / "result.json").unlink()
    make, says = FOREIGN[kind]
    file = record / "checkpoint.ckpt"
    torch.save(make(torch.load(file, weights_only=True)), file)
    result = regrun(*SMOKE)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert f"damaged: {file.relative_to(tmp_path)}: " in result.err.replace(str(tmp_path) + "/", "")
    assert says in result.err
    assert Record(record).status in (Status.DIED, Status.FAILED)
    assert regrun(*SMOKE, "force=true").code == 0


# ---------------------------------------------------- between stop and resume


SIXTY = (*SMOKE, "steps=60", "optimizer=sgd")


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next runs be asked to stop after a step."""
    looked = Interruptible.on_train_batch_end

    def look(self: Interruptible, trainer: Any, *rest: Any) -> None:
        STOP.asked = STOP.asked or trainer.global_step == step
        looked(self, trainer, *rest)

    monkeypatch.setattr(Interruptible, "on_train_batch_end", look)


def without_row(lines: list[str]) -> list[str]:
    return [*lines[:2], *lines[3:]]


ROWS_LOST = {
    "all of them": (None, "it is missing, and had 3 rows, up to step 20, when the state was saved"),
    "the last": (lambda lines: lines[:-1], "it has 2 whole rows, and had 3 rows, up to step 20"),
    "a part of the last": (lambda lines: [*lines[:-1], lines[-1][:9]], "it has 2 whole rows, and had 3"),
    "one in the middle": (without_row, "it has 2 whole rows, and had 3"),
    "one is another": (lambda lines: [*lines[:-1], lines[-1].replace("0.", "0.9", 1)], "its rows are not"),
}


def lose_rows(record: Path, change: Callable[[list[str]], list[str]] | None) -> None:
    file = record / "metrics.csv"
    lines = file.read_text().splitlines(keepends=True)
    file.unlink()
    if change is not None:
        file.write_text("".join(change(lines)))


@pytest.mark.parametrize("lost", ROWS_LOST)
def test_a_run_does_not_go_on_without_its_rows(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(23, patch)
        assert regrun(*SIXTY).code == 130
    record = only_record(tmp_path)
    change, says = ROWS_LOST[lost]
    lose_rows(record, change)
    result = regrun(*SIXTY)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert f"damaged: {record.relative_to(tmp_path) / 'metrics.csv'}: {says}" in result.err
    assert "force=true" in result.err
    assert regrun(*SIXTY, "force=true").code == 0
    assert [step for step, _ in Record(record).history()] == list(range(0, 61, 10))


def test_a_stage_does_not_go_on_without_its_rows(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*SIXTY, "procedure=hash_encoders/hash_codes"]
    with monkeypatch.context() as patch:
        interrupt_at(23, patch)
        assert regrun(*words).code == 130
    (stage,) = tmp_path.glob("outputs/stages/*")
    lose_rows(stage, None)
    result = regrun(*words)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert f"{stage.relative_to(tmp_path) / 'metrics.csv'}: it is missing, and had 3 rows" in result.err


def test_of_a_stack_only_the_run_that_lost_its_rows_does_not_go_on(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-m", *SIXTY, "seed=0,1,2", "engine=vmap", "checkpoint_seconds=0"]
    with monkeypatch.context() as patch:
        interrupt_at(23, patch)
        assert regrun(*words).code == 130
    (lost,) = tmp_path.glob("outputs/*/*/seed1-*")
    lose_rows(lost, lambda lines: lines[:-1])
    result = regrun(*words)
    assert result.code == 1
    assert "2 complete, 1 failed" in result.out
    assert f"damaged: {lost.relative_to(tmp_path) / 'metrics.csv'}: it has 2 whole rows" in result.out
    for seed in (0, 2):
        (record,) = tmp_path.glob(f"outputs/*/*/seed{seed}-*")
        assert [step for step, _ in Record(record).history()] == list(range(0, 61, 10))


def test_a_stack_goes_on_with_each_state_whatever_the_order(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["-m", *SIXTY, "engine=vmap"]
    with monkeypatch.context() as patch:
        interrupt_at(23, patch)
        assert regrun(*words, "seed=0,1").code == 130
    assert regrun(*words, "seed=1,0").code == 0
    assert regrun(*words, "seed=0,1", "outputs=outputs/whole").code == 0
    for seed in (0, 1):
        parts, whole = (next(tmp_path.glob(f"outputs/{x}*/*/seed{seed}-*")) for x in ("grokking", "whole/"))
        assert len(Record(parts).manifest()["resumed"]) == 1
        assert Record(parts).history() == Record(whole).history()


def test_a_checkpoint_is_in_place_only_once_the_rows_are_on_the_disk(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that loses power must not keep a state that counts on rows it has lost."""
    happened: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(number: int) -> None:
        sync(number)
        happened.append(f"synced {Path(f'/proc/self/fd/{number}').readlink().name}")

    def put(self: Path, target: Path) -> Path:
        happened.append(f"placed {Path(target).name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", put)
    assert regrun(*SMOKE, "checkpoint_seconds=0", "steps=30").code == 0
    placed = [k for k, what in enumerate(happened) if what == "placed checkpoint.ckpt"]
    assert len(placed) == 4  # at 10, 20 and 30, and at the end
    for k in placed:
        assert happened[k - 1] == "synced checkpoint.partial"
        assert "synced metrics.csv" in happened[max(0, k - 4) : k] or "placed metrics.csv" in happened[:k]
    assert happened.count("synced metrics.csv") >= 3


# ------------------------------------------------------------- more than one code


def edit_parts(record: Path, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    file = record / "run.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "computed_by": edit(manifest["computed_by"])}))


def test_the_ledger_takes_no_run_that_two_codes_have_computed(regrun: Command, here: Path) -> None:
    (record,) = here.glob("outputs/lines/flat/seed0-*")
    other = {"code": {"own_study": "before"}, "after_step": -1}
    edit_parts(record, lambda parts: [{**parts[0], **other}, {**parts[0], "after_step": 1}])
    words = ("reproduce", "lines", "--config-dir", "conf", "hydra/launcher=basic")
    where = record.relative_to(here)
    result = regrun(*words)
    assert result.code == 0
    assert f"{where}: the code changed after step 1: own_study" in result.err
    result = regrun(*words, "--record")
    assert result.code == 2
    assert f"--record: {where} was computed by more than one code" in result.err
    assert "force=true" in result.err
    assert len(result.err.splitlines()) == 1
    assert not (here / "outputs" / "ledger").exists()
    assert regrun(*LINES, "slope=0.5", "force=true").code == 0
    assert regrun(*words, "--record").code == 0
    assert (here / "outputs" / "ledger" / "lines.json").exists()


def test_an_entry_has_the_code_of_its_runs_and_not_that_of_today(regrun_afresh: Command, here: Path) -> None:
    (record,) = here.glob("outputs/lines/flat/seed0-*")
    (part,) = Record(record).manifest()["computed_by"]
    (here / "own_study.py").write_text(STUDY.replace('"z": 1.0', '"z": 2.0'))
    words = ("lines", "--config-dir", "conf")
    result = regrun_afresh("reproduce", *words, "--record", "hydra/launcher=basic")
    assert result.code == 0, result.err
    assert "not all runs were computed by the code of today; changed since: own_study.Line" in result.err
    entry = json.loads((here / "outputs" / "ledger" / "lines.json").read_text())
    assert entry["code"] == part["definitions"]
    assert entry["code"].keys() == {"own_study.Line"}
    assert regrun_afresh("verify", *words).code == 3
    (here / "own_study.py").write_text(STUDY)
    assert regrun_afresh("verify", *words).code == 0
