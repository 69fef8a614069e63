"""What becomes of what is said: full disks, closed pipes, and encodings without our letters."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import CHECKOUT, SMOKE, records
from regrun.records.record import Record, Status

REGRUN = f"{shlex.quote(sys.executable)} -m regrun"
PLAIN_C = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": ""}
FULL = "cannot write standard output: No space left on device"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, in a folder; of a pipe that fails anywhere the code is not 0."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED", "WANDB_SERVICE")}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=150,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["list", "", "show grokking"])
def test_a_full_disk_behind_the_output_is_one_line(tmp_path: Path, words: str, unbuffered: str) -> None:
    result = shell(f"{REGRUN} {words} > /dev/full", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 2
    assert result.stderr == f"regrun: {FULL}\n"


def test_with_nowhere_to_say_it_the_code_is_all_there_is(tmp_path: Path) -> None:
    result = shell(f"{REGRUN} list > /dev/full 2> /dev/full", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")
    result = shell(f"{REGRUN} nonsense 2> /dev/full", tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")
    assert shell(f"{REGRUN} list >&-", tmp_path).returncode == 0


@pytest.mark.parametrize("words", ["list", "--help", "show grokking", "nonsense 2>&1"])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, words: str) -> None:
    result = shell(f"{{ {REGRUN} {words}; echo $? > code; }} | head -1", tmp_path)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1
    assert int((tmp_path / "code").read_text()) == (2 if "nonsense" in words else 0)


def test_a_run_goes_on_where_its_reader_has_gone(tmp_path: Path) -> None:
    words = shlex.join((*SMOKE, "regularizer=stablemax"))
    result = shell(f"{REGRUN} {words} | head -1", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    (record,) = records(tmp_path)
    assert Record(record).status is Status.COMPLETE


def test_letters_that_an_encoding_lacks_are_question_marks(tmp_path: Path) -> None:
    result = shell(f"{REGRUN} show grokking", tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Prieto, Barsbey, Mediano, Birdal ? ICLR 2025 ? arXiv 2501.04697" in result.stdout
    assert "?Grad generalizes within a few hundred steps." in result.stdout


def test_a_plain_c_locale_will_do(tmp_path: Path) -> None:
    listed = shell(f"{REGRUN} list grad", tmp_path, **PLAIN_C)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "(?Grad)" in listed.stdout
    ours = tmp_path / "ours" / "experiment"
    ours.mkdir(parents=True)
    (ours / "größe.yaml").write_text("# @package _global_\n# Größe.\n", encoding="utf-8")
    (ours / "plain.yaml").write_text(
        "# @package _global_\n# Größe.\nseeds: 3\narms: {a: [], b: [optimizer.lr=0.1]}\nscales: {smoke: []}\n"
        "claims: {c: {says: Größer., expect: 'last(train_loss[a]) > 0'}}\n",
        encoding="utf-8",
    )
    words = "plain --config-dir ours --scale smoke logger=csv steps=2 model.hidden=[4] dataset.modulus=5"
    result = shell(f"{REGRUN} reproduce {words}", tmp_path, **PLAIN_C)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert "6 runs: 6 complete" in result.stdout
    (page,) = (tmp_path / "outputs" / "plain").glob("report-smoke*.html")
    assert "Größer." in page.read_text(encoding="utf-8")


def test_the_command_to_open_a_record_is_quoted_for_the_shell(tmp_path: Path) -> None:
    result = shell(f"{REGRUN} {shlex.join(SMOKE)} outputs=\"'out of; here'\"", tmp_path)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("open")]
    shown = shell(line.removeprefix("open").strip().replace("regrun", REGRUN, 1), tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "grokking · default · seed 0" in shown.stdout


def test_what_is_shown_of_a_config_is_all_of_it(tmp_path: Path) -> None:
    result = shell(f"{REGRUN} show modular_arithmetic", tmp_path, COLUMNS="40")
    file = CHECKOUT / "conf" / "dataset" / "modular_arithmetic.yaml"
    assert result.stdout == f"dataset=modular_arithmetic\n{file.read_text(encoding='utf-8')}"
