"""What a careless command or a stranger's config must not do: delete, overwrite, execute, vouch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import Result, only_record, records
from regrun.errors import UserError
from regrun.loggers.wandb import forget
from regrun.records.record import Record
from regrun.report.index import write_index

Command = Callable[..., Result]
RUN = ("experiment=custom", "scale=smoke", "steps=1", "logger=csv", "trainer=cpu", "dataset=digits")


class Touch:
    """Unpickled, touches a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


@pytest.fixture
def precious(tmp_path: Path) -> dict[str, str]:
    """A user's folder with work in it, and what is in each file."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("three years")
    (tmp_path / "results.csv").write_text("1,2\n")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Touch(tmp_path / "pwned")))
    return contents(tmp_path)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_bytes().hex()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "outputs" not in file.parts and "conf" not in file.parts
    }


def refused_in_one_line(result: Result, says: str = "") -> None:
    assert result.code == 2, result.out + result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert says in result.err


FOLDERS = [
    [*RUN, "hydra.run.dir=."],
    [*RUN, "hydra.run.dir=thesis"],
    [*RUN, "++hydra.run.dir=."],
    [*RUN, "hydra={run: {dir: .}}"],
    [*RUN, "hydra.output_subdir=."],
    [*RUN, "hydra.job.chdir=true"],
    ["-m", *RUN, "hydra.sweep.dir=v", "hydra.sweep.subdir=."],
    ["-m", *RUN, "seed=0,1", "hydra.sweep.dir=.", "hydra.sweep.subdir=thesis"],
    ["-m", *RUN, "hydra.sweep.subdir=../thesis"],
    [*RUN, "hydra.mode=MULTIRUN"],
    ["reproduce", "tiny", "hydra.run.dir=.", "--scale", "smoke"],
    ["reproduce", "grokking", "hydra.sweep.dir=.", "--scale", "smoke", "--dry-run"],
]


@pytest.mark.parametrize("words", FOLDERS, ids=" ".join)
def test_where_hydra_puts_things_is_not_for_a_command(
    regrun: Command, tmp_path: Path, precious: dict[str, str], words: list[str]
) -> None:
    result = regrun(*words)
    refused_in_one_line(result)
    assert "outputs=DIR" in result.err or "not with regrun" in result.err or "no experiment" in result.err
    assert contents(tmp_path) == precious


CODE = [
    "+hydra.callbacks.x={_target_:torch.nn.modules.module.torch.load,f:evil.pt,weights_only:false}",
    "+hydra.callbacks.x._target_=os.system",
    "hydra/callbacks=x",
    "+logger@hydra.callbacks=wandb",
    "+logger.x={_target_:regrun.records.files.write_atomically,target:results.csv,text:gone}",
    "+logger.x={_target_:regrun.cli.main,arguments:[list]}",
    "+logger.x={_target_:torch.load,f:evil.pt,weights_only:false}",
    "+dataset.x={_target_:torch.load,f:evil.pt,weights_only:false}",
    "procedure={_target_:torch.load,f:evil.pt,weights_only:false}",
    "procedure._target_=regrun.config.whitelist.locate",
    "model={_target_:torch.nn.modules.module.torch.load,_partial_:true,f:evil.pt,weights_only:false}",
    "+hydra.job.env_set.REGRUN_TRUST=torch",
    "+hydra.job.env_set.WANDB_BASE_URL=http://127.0.0.1:9",
    "hydra.job.env_copy=[WANDB_API_KEY]",
    "hydra/env=x",
    "++hydra.job_logging={version:1,handlers:{f:{class:logging.FileHandler,filename:results.csv,mode:w}}}",
    "++hydra.hydra_logging={version:1,handlers:{f:{(): os.system,command: touch pwned}}}",
    "hydra/job_logging=default",
    "hydra.launcher._target_=os.system",
    "+hydra.launcher.x._target_=os.system",
    "hydra/sweeper._target_=regrun.records.record.Record",
    "hydra.searchpath=[pkg://os]",
    "hydra.searchpath=[file:///tmp]",
    "hydra.runtime.output_dir=.",
    "+hydra.runtime.choices.experiment=grokking",
]


@pytest.mark.parametrize("word", CODE)
@pytest.mark.parametrize("multirun", [(), ("-m",)], ids=["run", "sweep"])
def test_no_word_runs_code(
    regrun: Command, tmp_path: Path, precious: dict[str, str], multirun: tuple[str, ...], word: str
) -> None:
    result = regrun(*multirun, *RUN, word)
    assert result.code == 2 or (multirun and result.code == 1)  # a sweep says so of each of its runs
    assert "Traceback" not in result.err
    assert contents(tmp_path) == precious


@pytest.mark.parametrize(
    "word", [word for word in CODE if word.startswith(("+logger", "procedure", "model"))]
)
def test_a_dry_run_builds_nothing(
    regrun: Command, tmp_path: Path, precious: dict[str, str], word: str
) -> None:
    regrun("reproduce", "grokking", "--scale", "smoke", "--dry-run", word)
    assert contents(tmp_path) == precious


@pytest.mark.parametrize(
    "option",
    [
        ["--config-path", "conf"],
        ["--config-name", "mine"],
        ["-cn", "mine"],
        ["--experimental-rerun", "evil.pt"],
    ],
)
def test_options_of_hydras_that_go_round_the_check(
    regrun: Command, tmp_path: Path, precious: dict[str, str], option: list[str]
) -> None:
    refused_in_one_line(regrun(*option, *RUN), "not with regrun")
    assert contents(tmp_path) == precious


SETTINGS: dict[str, dict[str, Any]] = {
    "run_dir": {"run": {"dir": "."}},
    "sweep_dir": {"sweep": {"dir": ".", "subdir": "thesis"}},
    "callback": {"callbacks": {"x": {"_target_": "os.system"}}},
    "trust": {"job": {"env_set": {"REGRUN_TRUST": "torch"}}},
    "log": {"job_logging": {"handlers": {"f": {"class": "logging.FileHandler", "filename": "results.csv"}}}},
    "words": {"overrides": {"task": ["outputs=thesis"]}},
    "hydras_words": {"overrides": {"hydra": ["hydra.run.dir=."]}},
    "setup": {"launcher": {"setup": ["touch pwned"]}},
    "sweeper": {"sweeper": {"params": {"seed": "0,1"}}},
    "chdir": {"job": {"chdir": True}},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("multirun", [(), ("-m",)], ids=["run", "sweep"])
def test_no_config_of_a_strangers_speaks_to_hydra(
    regrun: Command, tmp_path: Path, precious: dict[str, str], multirun: tuple[str, ...], name: str
) -> None:
    write(tmp_path / "conf", "experiment/theirs.yaml", {"hydra": SETTINGS[name]})
    words = [word for word in RUN if word != "experiment=custom"]
    launcher = ["hydra/launcher=slurm"] if name == "setup" else []
    result = regrun(*multirun, "--config-dir", "conf", *words, "experiment=theirs", *launcher)
    refused_in_one_line(result, "hydra.")
    assert contents(tmp_path) == precious


def test_nor_one_that_only_a_later_job_of_a_sweep_chooses(
    regrun: Command, tmp_path: Path, precious: dict[str, str]
) -> None:
    write(tmp_path / "conf", "experiment/theirs.yaml", {"hydra": SETTINGS["trust"]})
    words = [word for word in RUN if word != "experiment=custom"]
    result = regrun("-m", "--config-dir", "conf", *words, "experiment=custom,theirs")
    refused_in_one_line(result, "hydra.job")
    assert contents(tmp_path) == precious


@pytest.mark.parametrize(
    "word", ["hydra.run.dir=.", "outputs=thesis", "experiment=grokking", "seed=3", "hydra.job.chdir=true"]
)
def test_nor_does_an_arm(regrun: Command, tmp_path: Path, precious: dict[str, str], word: str) -> None:
    write(
        tmp_path / "conf", "experiment/theirs.yaml", {"arms": {"a": [], "b": [word]}, "scales": {"smoke": []}}
    )
    result = regrun("reproduce", "theirs", "--config-dir", "conf", "--scale", "smoke")
    refused_in_one_line(result, "for the command line")
    assert contents(tmp_path) == precious


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("# @package _global_\n" + yaml.safe_dump(content))


# ------------------------------------------------------------------ records


@pytest.mark.parametrize("name", ["notes.txt", "config.yml", "figures", ".git", "model.ckpt"])
def test_a_record_with_something_else_in_it_is_left_alone(regrun: Command, tmp_path: Path, name: str) -> None:
    assert regrun(*RUN).code == 0
    record = only_record(tmp_path)
    (record / name).write_text("mine")
    before = {file.name: file.read_bytes() for file in record.iterdir() if file.name != "lock"}
    refused_in_one_line(regrun(*RUN, "force=true"), name)
    assert {file.name: file.read_bytes() for file in record.iterdir() if file.name != "lock"} == before
    (record / name).unlink()
    assert regrun(*RUN, "force=true").code == 0


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "anything"])
def test_a_folder_that_no_run_has_written_is_left_alone(tmp_path: Path, name: str) -> None:
    """Even where its files are called as those of a record."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=name):
        Record(tmp_path).begin({}, {})
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {name: "mine"}


def test_a_link_in_a_record_is_removed_and_what_it_leads_to_is_not(regrun: Command, tmp_path: Path) -> None:
    assert regrun(*RUN).code == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("mine")
    record = only_record(tmp_path)
    (record / "wandb").symlink_to(tmp_path / "elsewhere")
    assert regrun(*RUN, "force=true").code == 0
    assert (tmp_path / "elsewhere" / "kept").read_text() == "mine"
    assert not (record / "wandb").exists()


def test_a_values_path_in_an_arms_name_stays_below_outputs(regrun: Command, tmp_path: Path) -> None:
    base = tmp_path / "below"
    write(
        base / "conf",
        "experiment/theirs.yaml",
        {"arms": {"a": {"values": ["../../../x", "/x"], "overrides": ["+paper.note={}"]}}, "seeds": 3},
    )
    options = ["--config-dir", str(base / "conf"), "--scale", "smoke", "--seeds", "1"]
    words = ["outputs=below/o", "steps=1", "logger=csv", "dataset=digits"]
    result = regrun("reproduce", "theirs", *options, *words)
    assert "Traceback" not in result.err
    assert {path.name for path in tmp_path.iterdir()} == {"below"}
    assert {path.name for path in base.iterdir()} <= {"conf", "o"}


@pytest.mark.parametrize(
    "word",
    [
        "experiment=../dataset/mnist",
        "experiment=/etc/passwd",
        "dataset=../model/mlp",
        "experiment=./grokking",
    ],
)
def test_a_choice_is_a_name(regrun: Command, tmp_path: Path, word: str) -> None:
    words = [other for other in RUN if other.split("=")[0] != word.split("=")[0]]
    refused_in_one_line(regrun(*words, word))
    assert records(tmp_path) == []


@pytest.mark.parametrize(
    "verb", [["list"], ["show", "grokking"], ["reproduce", "grokking"], [*RUN]], ids=" ".join
)
@pytest.mark.parametrize("name", ["experiment/grokking.yaml", "dataset/mnist.yaml"])
def test_a_config_under_a_name_of_regruns_is_refused(
    regrun: Command, tmp_path: Path, verb: list[str], name: str
) -> None:
    write(tmp_path / "conf", name, {"steps": 3})
    refused_in_one_line(regrun(*verb, "--config-dir", "conf"), f"{name}: regrun has")


def test_a_page_that_is_not_regruns_is_not_written_over(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<title>My home</title>")
    with pytest.raises(UserError, match=r"index\.html is not a page of regrun's"):
        write_index(tmp_path, [])
    assert page.read_text() == "<title>My home</title>"
    page.unlink()
    for _ in range(2):  # its own it writes anew
        write_index(tmp_path, [])
        assert "<title>regrun" in page.read_text()


def test_of_what_wandb_has_written_only_the_same_runs_is_deleted(tmp_path: Path) -> None:
    """A page's folder, ``outputs/<experiment>``, may be one in which somebody else logs, too."""
    for name in ("offline-run-20260101_000000-mine", "offline-run-20260101_000000-grokking-verdicts", "kept"):
        (tmp_path / "wandb" / name / "files").mkdir(parents=True)
    forget(tmp_path, "grokking-verdicts")
    left = {path.name for path in (tmp_path / "wandb").iterdir()}
    assert left == {"offline-run-20260101_000000-mine", "kept"}


def test_an_empty_folder_of_the_users_stays(regrun: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refused_in_one_line(regrun(*RUN, "outputs=mine", "steps=0"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    refused_in_one_line(regrun(*RUN, "outputs=mine/a/b", "steps=0"))
    assert list((tmp_path / "mine").iterdir()) == []


# ------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWD",
        "DB_PASS",
        "LDAP_PWD",
        "HTTP_AUTH",
        "GOOGLE_CREDENTIAL",
        "WANDB_API_KEY",
        "SLURM_JWT",
        "HOSTNAME",
        "PATH_TO_KEY",
    ],
)
def test_an_environment_variable_that_may_be_a_secret_is_not_read(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "hunter2hunter2")
    refused_in_one_line(regrun(*RUN, f"+paper.note=${{oc.env:{name}}}"), f"REGRUN_ENV={name}")
    assert records(tmp_path) == []


@pytest.mark.parametrize("value", ["https://user:hunter2@mirror/data", "hunter2hunter2", "a/b"])
def test_nor_one_that_is_called_a_path_and_is_none(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MIRROR_PATH", value)
    refused_in_one_line(regrun(*RUN, "+paper.note=${oc.env:MIRROR_PATH}"), "expected a path")
    assert records(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [("SCRATCH_DIR", "/scratch/me", ""), ("OMP_NUM_THREADS", "1", ""), ("WHO", "me", "A, WHO")],
)
def test_paths_counts_and_what_the_user_names_are(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("REGRUN_ENV", named)
    assert regrun(*RUN, f"+paper.note=${{oc.env:{name}}}").code == 0
    assert str(yaml.safe_load((only_record(tmp_path) / "config.yaml").read_text())["paper"]["note"]) == value


def test_a_secret_that_is_typed_does_not_land_in_a_record(
    regrun: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWD", "hunter2hunter2")
    refused_in_one_line(regrun(*RUN, "+paper.note=hunter2hunter2"), "DB_PASSWD")
    assert records(tmp_path) == []
