from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conftest import CHECKOUT, SMOKE, Result, records
from regrun.claims import Verdict, read_claims
from regrun.config.arms import read_arms
from regrun.config.catalogue import names
from regrun.config.composing import compose_config, plain_config
from regrun.config.paper_file import find_section
from regrun.config.run_values import SCALES
from regrun.paths import conf_dir
from regrun.records.record import Record, Status
from regrun.report.documents import (
    figure_svg,
)
from regrun.report.figures import arm_colors, draw_headline, make_figures, svg_of
from regrun.report.page import on_white
from regrun.report.plain_svg import plain_svg
from regrun.reproduction.curves import Headline
from regrun.reproduction.entry import Entry
from regrun.reproduction.experiment import load_experiment
from regrun.reproduction.freshness import contradictions
from regrun.reproduction.judging import arms_of
from regrun.reproduction.ledger import ledger_file, read_entry, write_entry
from regrun.reproduction.reading import Reading
from regrun.runs.environment import git_commit
from regrun.verbs.reproduce import looks
from tiny import write_tiny

Command = Callable[..., Result]
VERDICTS = {"fits": "reproduced", "impossible": "not reproduced", "bounded": "reproduced"}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the tiny experiment has been reproduced, with W&B offline, for the ledger."""
    import os
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("reproduced")
    words = ["reproduce", *write_tiny(folder, **{"  - override /logger: csv\n": ""}), "--record"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {"COLUMNS": "200"}
    result = subprocess.run(
        [sys.executable, "-m", "regrun.cli", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    (folder / "printed").write_text(result.stdout)
    return folder


@pytest.fixture
def here(reproduced: Path, tmp_path: Path) -> Path:
    """A copy of it to work in."""
    shutil.copytree(reproduced, tmp_path, dirs_exist_ok=True)
    return tmp_path


def entry_of(folder: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((folder / "outputs" / "tiny" / "verdicts.json").read_text())


# ------------------------------------------------------------ the whole of it


def test_all_arms_and_seeds_are_run_and_judged(reproduced: Path) -> None:
    assert len(records(reproduced)) == 4 * 3
    assert {Record(r).manifest()["arm"] for r in records(reproduced)} == {
        "plain",
        "decay",
        "rate=0.001",
        "rate=0.0001",
    }
    entry = entry_of(reproduced)
    verdicts = {claim["name"]: claim["verdict"] for claim in entry["claims"]}
    assert VERDICTS.items() <= verdicts.items()
    assert all(len(claim["comparisons"][0]["values"]) == 3 for claim in entry["claims"])
    printed = (reproduced / "printed").read_text()
    assert "12 runs: 12 complete" in printed
    assert "✓ plain seed 0" in printed
    assert "of 12" in printed
    assert "✗" in printed
    assert "no part of the interval is > 2" in printed


def test_again_runs_nothing_and_says_the_same(regrun: Command, here: Path) -> None:
    before = entry_of(here)
    result = regrun("reproduce", "tiny", "--config-dir", "conf", "logger=csv")
    assert result.code == 1
    assert "0 runs to do" in result.out
    assert entry_of(here)["claims"] == before["claims"]
    assert entry_of(here)["measured"] == before["measured"]


def test_the_figures_of_an_entry_are_the_records(here: Path) -> None:
    entry = read_entry(here / "outputs" / "tiny" / "verdicts.json")
    for seed in range(3):
        (record,) = here.glob(f"outputs/tiny/plain/seed{seed}-*")
        last = Record(record).history()[-1][1]
        assert entry.measured["last(train_accuracy[plain])"][seed] == (last["train_accuracy"],) * 2
        assert entry.arms["plain"].final["test_loss"][seed] == pytest.approx(last["test_loss"], rel=1e-5)
    assert entry.arms["plain"].seeds == 3
    assert entry.cost.runs == 12


def test_a_dry_run_says_what_would_run_and_what_it_would_cost(regrun: Command, here: Path) -> None:
    shutil.rmtree(next(here.glob("outputs/tiny/decay/seed2-*")))
    result = regrun("reproduce", "tiny", "--config-dir", "conf", "--dry-run", "--seeds", "4", "logger=csv")
    assert result.code == 0
    assert "4 arms × 4 seeds, 5 runs to do, about" in result.out
    assert "decay seed 2  absent" in result.out
    assert len(records(here)) == 11


def test_only_some_arms_leave_the_claims_of_the_others_open(regrun_afresh: Command, tmp_path: Path) -> None:
    words = write_tiny(tmp_path)
    result = regrun_afresh("reproduce", *words, "--arms", "plain", "--seeds", "3")
    assert result.code == 3, result.out + result.err
    assert len(records(tmp_path)) == 3
    verdicts = {claim["name"]: claim["verdict"] for claim in entry_of(tmp_path)["claims"]}
    assert verdicts == {
        "fits": "reproduced",
        "impossible": "not run",
        "even": "not run",
        "bounded": "not run",
    }


def test_seeds_are_added_until_it_is_decided(regrun_afresh: Command, tmp_path: Path) -> None:
    # Losses are 1.983 ± 0.015: three seeds cannot decide, six can.
    even = "last(test_loss[plain]) / last(test_loss[rate(0.001)]) >= 1"
    words = write_tiny(tmp_path, **{even: "last(test_loss[plain]) > 1.955", "steps: 400": "steps: 40"})
    result = regrun_afresh("reproduce", *words, "--until-decided", "6")
    entry = entry_of(tmp_path)
    assert entry["looks"] == 2
    seeds = {claim["name"]: claim["seeds"] for claim in entry["claims"]}
    verdicts = {claim["name"]: claim["verdict"] for claim in entry["claims"]}
    assert "1 claim is undecided with 3 seeds" in result.out
    assert seeds["even"] == entry["arms"]["plain"]["seeds"] == 6
    assert verdicts["even"] == "reproduced"
    # What was decided with three seeds is left alone, and so are the arms that only it needs.
    assert seeds["impossible"] == 3
    assert entry["arms"]["decay"]["seeds"] == 3
    assert result.code == 1


def test_the_looks_double_up_to_the_most() -> None:
    assert looks(3, None) == [3]
    assert looks(3, 12) == [3, 6, 12]
    assert looks(3, 10) == [3, 6, 10]
    assert looks(5, 5) == [5]


def test_a_failing_arm_is_said_and_the_rest_is_judged(regrun_afresh: Command, tmp_path: Path) -> None:
    words = write_tiny(tmp_path, **{"regularizer=weight_decay": "optimizer.lr=1e30"})
    result = regrun_afresh("reproduce", *words)
    assert result.code == 1
    assert "∞ decay seed 0  diverged: the loss became" in result.out
    assert "12 runs: 9 complete, 3 diverged" in result.out
    assert "∞ decay  diverged in seeds 0, 1 and 2" in result.out
    entry = entry_of(tmp_path)
    assert entry["arms"]["decay"]["diverged"] == [0, 1, 2]
    claims = {claim["name"]: claim for claim in entry["claims"]}
    assert claims["fits"]["verdict"] == "reproduced"
    assert claims["impossible"]["verdict"] == "inconclusive"
    assert claims["impossible"]["why"].startswith("decay diverged in seeds 0, 1 and 2: ")


def test_a_smoke_run_yields_no_verdict(regrun_afresh: Command, tmp_path: Path) -> None:
    result = regrun_afresh("reproduce", "grokking", "--scale", "smoke", "--seeds", "1", "logger=csv")
    assert result.code == 0, result.out + result.err
    assert "9 claims: 9 not run" in result.out
    assert len(records(tmp_path)) == 8
    result = regrun_afresh("report")
    assert result.code == 2
    assert "no verdicts in outputs yet" in result.err


def test_the_sweeper_is_hydra_s_and_works_by_hand(regrun: Command, tmp_path: Path) -> None:
    arms = "hydra.sweeper.arms=[stablemax,perp_grad]"
    result = regrun("-m", *SMOKE, "hydra/sweeper=arms", arms, "hydra.sweeper.seeds=2")
    assert result.code == 0, result.err
    assert "4 runs: 4 complete" in result.out
    assert [Record(r).status for r in records(tmp_path)] == [Status.COMPLETE] * 4


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["groking"], "there is no experiment 'groking'; did you mean 'grokking'?"),
        (["grokking", "--arms", "stablmax"], "unknown arm 'stablmax'; did you mean 'stablemax"),
        (["grokking", "seed=1"], "the seed is chosen with --seeds N"),
        (["grokking", "stpes=1"], "unknown key 'stpes'; did you mean 'steps'?"),
        (["grokking", "regularizer=l1"], "would change nothing: every arm sets regularizer itself"),
        (["grokking", "--record", "steps=5"], "the experiment as it stands, not with steps=5"),
        (["grokking", "--record", "--scale", "smoke"], "a smoke run yields no verdict"),
        (["grokking", "--record", "--seeds", "2"], "at least 3 seeds"),
        (["grokking", "--until-decided", "2"], "less than the 5 seeds"),
        (["custom"], "has no arms"),
    ],
)
def test_a_mistake_is_said_before_anything_runs(
    regrun: Command, tmp_path: Path, words: list[str], message: str
) -> None:
    result = regrun("reproduce", *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("train_accuracy[plain]", "train_acuracy[plain]", "does not measure 'train_acuracy'; did you mean"),
        ("train_accuracy[plain]", "train_accuracy[plian]", "unknown arm 'plian'; did you mean 'plain'?"),
        ("rate(0.001)", "rate(0.01)", "the family 'rate' has no value 0.01 (known: 0.001, 0.0001)"),
        ("regularizer.l1.rate={}", "regularizer.l1.rat={}", "the arm rate=0.001: unknown key"),
    ],
)
def test_a_typo_in_an_experiment_is_found_before_anything_runs(
    regrun: Command, tmp_path: Path, old: str, new: str, message: str
) -> None:
    result = regrun("reproduce", *write_tiny(tmp_path, **{old: new}))
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "outputs").exists()


def scales_there() -> Iterator[tuple[str, str]]:
    for name in names("experiment"):
        if name != "custom":
            yield name, "small"
            yield from ((name, s) for s in SCALES if find_section(conf_dir(), f"scale_for/{name}-{s}"))


@pytest.mark.parametrize(("name", "scale"), scales_there())
def test_every_claim_speaks_of_what_its_arms_measure(name: str, scale: str) -> None:
    experiment = load_experiment(name, scale, [], None)
    experiment.check_metrics([])
    assert experiment.claims


# ------------------------------------------------------------------- report


class Page(HTMLParser):
    """What a page loads, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("src", "srcset") or (tag == "link" and name == "href") or name == "xlink:href":
                self.loaded.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_file_that_says_everything(reproduced: Path) -> None:
    text = (reproduced / "outputs" / "tiny" / "report.html").read_text()
    page = Page(text)
    assert all(source.startswith("#") for source in page.loaded)
    assert "@import" not in text
    assert "A tiny paper" in page.text
    assert "Nothing <b>much</b>." in page.text  # said, not obeyed
    for word in ("reproduced", "not reproduced", "plain 1.0 (Fig. 1)", "regrun reproduce tiny", "rate=0.001"):
        assert word in page.text
    assert text.count("<figure") >= 3
    assert "prefers-color-scheme: dark" in text
    figures = reproduced / "outputs" / "tiny" / "figures"
    assert {f.stem for f in figures.glob("*.svg")} == {f.stem for f in figures.glob("*.png")}
    assert (figures / "curves.svg").read_text().count("<svg") == 1


def test_the_index_links_every_report(regrun: Command, here: Path) -> None:
    result = regrun("report")
    assert result.code == 0
    assert "tiny" in result.out
    index = (here / "outputs" / "index.html").read_text()
    assert 'href="tiny/report.html#fits"' in index
    assert 'data-verdict="not reproduced"' in index


def test_one_report_is_made_again_from_the_records(regrun: Command, here: Path) -> None:
    before = entry_of(here)
    shutil.rmtree(here / "outputs" / "tiny" / "figures")
    (here / "outputs" / "tiny" / "verdicts.json").unlink()
    result = regrun("report", "tiny", "--config-dir", "conf")
    assert result.code == 0, result.err
    assert entry_of(here)["claims"] == before["claims"]
    assert (here / "outputs" / "tiny" / "figures" / "curves.svg").exists()


def test_the_first_figure_and_that_of_the_entry_are_one(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    entry = read_entry(ledger_file(Path("outputs"), "tiny", "small"))
    assert entry.curves is not None
    svg = svg_of(draw_headline(entry.curves, arm_colors(arms_of(entry))))
    assert on_white(svg) == Path("outputs/tiny/figures/curves.svg").read_text(encoding="utf-8")
    assert not list(Path("outputs/ledger").glob("*.svg"))
    experiment = load_experiment("tiny", "small", [], "conf")
    reading = Reading(experiment.runs(3))
    first, *_ = make_figures(entry, experiment.arms, reading, [], Headline(**experiment.config["report"]))
    assert first.svg == svg
    assert figure_svg(entry) == plain_svg(svg)
    # The points are the records', to four digits.
    (panel,) = [panel for panel in entry.curves.panels if panel.metric == "train_accuracy"]
    curve = panel.arms["plain"]
    seeds = [reading.curves("plain", seed)["train_accuracy"] for seed in range(3)]
    places = np.isin(seeds[0][0], curve.steps)
    assert places.sum() == len(curve.steps)
    values = np.stack([values[places] for _, values in seeds])
    np.testing.assert_allclose(
        [curve.mean, curve.low, curve.high], [values.mean(0), values.min(0), values.max(0)], atol=1e-4
    )


# ------------------------------------------------------------------- ledger


def test_verify_judges_the_ledger_from_the_ledger_alone(regrun: Command, here: Path) -> None:
    for record in records(here):
        shutil.rmtree(record)
    result = regrun("verify", "tiny", "--config-dir", "conf")
    assert result.code == 0, result.out + result.err
    assert "every verdict follows from the entry's figures, which are up to date" in result.out


def test_verify_finds_what_was_edited(regrun: Command, here: Path) -> None:
    file = ledger_file(Path("outputs"), "tiny", "small")
    entry = read_entry(file)
    entry.claims[1].verdict = Verdict.REPRODUCED
    file.write_text(entry.model_dump_json())
    result = regrun("verify", "tiny", "--config-dir", "conf")
    assert result.code == 1
    assert "the entry was edited after it was written" in result.out
    assert "impossible: said to be reproduced, its figures say not reproduced" in result.out
    write_entry(entry, file)  # sealed anew, and still wrong
    result = regrun("verify", "tiny", "--config-dir", "conf")
    assert result.code == 1
    assert "edited" not in result.out


def test_verify_says_what_has_changed_since(regrun: Command, here: Path) -> None:
    write_tiny(here, **{"steps: 400": "steps: 500", ">= 0.5\n": ">= 0.6\n"})
    file = ledger_file(Path("outputs"), "tiny", "small")
    entry = read_entry(file)
    entry.code["regrun.probes.Before"] = "before"
    write_entry(entry, file)
    result = regrun("verify", "tiny", "--config-dir", "conf")
    assert result.code == 3
    assert "the code has changed since, of regrun.probes.Before" in result.out
    assert "the config has changed since, of the arms plain, decay, rate=0.001, rate=0.0001" in result.out
    assert "claims whose lines have changed: fits" in result.out


VERIFY = ("verify", "tiny", "--config-dir", "conf")


def make_older(file: Path) -> Entry:
    """Let an entry be from before a component was edited, and a parameter was there."""
    entry = read_entry(file)
    entry.code["regrun.models.MLP"] = "before"
    assert entry.habits is not None
    entry.habits.shared.pop()
    write_entry(entry, file)
    return entry


def test_smoke_runs_tell_whether_a_change_has_changed_anything(regrun: Command, here: Path) -> None:
    file = ledger_file(Path("outputs"), "tiny", "small")
    entry = make_older(file)
    assert entry.habits is not None
    assert entry.habits.smoke.keys() == entry.arms.keys()
    entry.arms["plain"].identity = "another"  # which the parameter is part of
    write_entry(entry, file)
    same = regrun(*VERIFY, "--smoke")
    assert same.code == 0, same.out
    assert "the code has changed since, of regrun.models.MLP" in same.out
    assert "the config has changed since, of the arms plain" in same.out
    assert "smoke runs of 4 arms give the figures of then" in same.out
    again = regrun(*VERIFY)  # the entry has kept it
    assert again.code == 0, again.out
    assert "which are up to date" in again.out
    stamped = read_entry(file)
    assert stamped.checked is not None
    assert stamped.checked.commit == git_commit()
    assert stamped.checked.code == load_experiment("tiny", "small", [], "conf").code
    assert stamped.model_copy(update={"checked": None, "seal": ""}) == entry.model_copy(update={"seal": ""})
    stamped.checked.code["regrun.models.MLP"] = "between"
    write_entry(stamped, file)
    assert regrun(*VERIFY).code == 3


def test_smoke_runs_stamp_nothing_that_differs(regrun: Command, here: Path) -> None:
    file = ledger_file(Path("outputs"), "tiny", "small")
    entry = make_older(file)
    assert entry.habits is not None
    loss = entry.habits.smoke["plain"]["test_loss"]
    for other in (loss * 1.01, math.nan):
        entry.habits.smoke["plain"]["test_loss"] = other
        write_entry(entry, file)
        text = file.read_text()
        result = regrun(*VERIFY, "--smoke")
        assert result.code == 3
        assert f"plain: test_loss was {other:g} and is {loss:g}" in result.out
        assert file.read_text() == text
    entry.habits.own["decay"].append("a parameter of another value")
    write_entry(entry, file)
    changed = regrun(*VERIFY, "--smoke")
    assert changed.code == 3
    assert "settings of the arm decay have changed" in changed.out
    write_entry(entry.model_copy(update={"habits": None}), file)
    unknown = regrun(*VERIFY, "--smoke")
    assert unknown.code == 3
    assert "it has no figures of smoke runs" in unknown.out


def test_all_entries_are_verified_in_a_line_each(regrun: Command, here: Path) -> None:
    file = ledger_file(Path("outputs"), "tiny", "small")
    verify = ("verify", "--all", "--config-dir", "conf")
    fresh = regrun(*verify)
    assert (fresh.code, fresh.out.splitlines()) == (0, ["✓ tiny  fresh", "1 entry: 1 fresh"]), fresh.err
    conf = (here / "conf" / "experiment" / "tiny.yaml").read_text()
    (here / "conf" / "experiment" / "other.yaml").write_text(conf)
    other = file.with_stem("other")
    entry = make_older(file)
    write_entry(entry.model_copy(update={"experiment": "other"}), other)
    old = regrun(*verify)
    why = "old: the code has changed since, of regrun.models.MLP"
    lines = [f"~ other  {why}", f"~ tiny  {why}", "2 entries: 2 old"]
    assert (old.code, old.out.splitlines()) == (3, lines), old.err
    assert entry.habits is not None
    entry.habits.smoke["decay"]["test_loss"] = 77.0
    write_entry(entry, file)
    mended = regrun(*verify, "--smoke")
    assert mended.code == 3, mended.err
    first, second, total = mended.out.splitlines()
    assert first == "✓ other  fresh: smoke runs of 4 arms give the figures of then"
    assert second.startswith(f"~ tiny  {why}; decay: test_loss was 77 and is ")
    assert total == "2 entries: 1 fresh, 1 old"
    edited = other.read_text().replace('"not reproduced"', '"reproduced"')
    other.write_text(edited)
    wrong = regrun(*verify)
    assert wrong.code == 1
    assert wrong.out.startswith("✗ other  contradicts itself: the entry was edited after it was written; ")
    assert "2 entries: 1 old, 1 in contradiction with itself" in wrong.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny", "--all"], "--all is for every entry: without tiny"),
        (["--all", "--scale", "paper"], "--all is for every entry, of whatever scale: without --scale"),
        ([], "name an experiment with an entry in outputs/ledger, or say --all"),
        (["--all", "outputs=elsewhere"], "there is no entry in elsewhere/ledger"),
    ],
)
def test_what_cannot_be_verified_is_refused(
    words: list[str], message: str, regrun: Command, here: Path
) -> None:
    result = regrun("verify", *words)
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert message in result.err


def test_what_is_no_entry_is_said(regrun: Command, here: Path) -> None:
    file = ledger_file(Path("outputs"), "tiny", "small")
    text = file.read_text()
    for wrong, message in [
        ("{", "is no ledger entry"),
        (text.replace('"looks"', '"look"'), "is no ledger entry: looks: Field required"),
        (text.replace('"reproduced"', '"splendid"', 1), "claims.0"),
    ]:
        file.write_text(wrong)
        result = regrun("verify", "tiny", "--config-dir", "conf")
        assert result.code == 2
        assert message in result.err


LEDGER = sorted((CHECKOUT / "outputs" / "ledger").glob("*.json"))


@pytest.mark.parametrize("file", LEDGER, ids=lambda file: file.stem)
def test_the_committed_verdicts_follow_from_the_committed_figures(file: Path) -> None:
    entry = read_entry(file)
    assert list(contradictions(entry)) == []
    assert entry.least_seeds >= 3
    assert not entry.overrides
    assert not any(commit.endswith("+") for commit in entry.commits)
    # The lines are the config's of today: a claim is not rewritten behind its verdict.
    config = plain_config(compose_config([f"experiment={entry.experiment}", f"scale={entry.scale}"]))
    claims = read_claims(config["claims"], read_arms(config["arms"]))
    assert {c.name: c.expect for c in claims} == {c.name: c.expect for c in entry.claims}


# --------------------------------------------------------------------- W&B


def test_wandb_gets_the_verdicts_the_figures_and_the_report(reproduced: Path) -> None:
    from test_wandb import items, read_back

    entries = read_back(reproduced / "outputs" / "tiny")
    (run,) = items(entries, "run")
    assert run["display_name"] == "tiny/verdicts"
    assert run["run_group"] == "tiny"
    assert run["job_type"] == "verdicts"
    assert run["tags"] == ["verdicts", "small"]
    (row,) = items(entries, "history")
    logged = {name.partition(".")[0] for name in row["item"]}
    assert {"verdicts", "curves", "claims", "arms"} <= logged
    (file,) = (reproduced / "outputs" / "tiny" / "wandb").rglob("verdicts_*.table.json")
    table = json.loads(file.read_text())
    assert {row[0]: row[3] for row in table["data"]}.items() >= VERDICTS.items()
    artifact = items(entries, "artifact")[-1]
    assert artifact["name"] == "tiny-verdicts"
    assert sorted(artifact["aliases"]) == ["latest", "small"]
    contents = {file["path"]: Path(file["local_path"]) for file in artifact["manifest"]["contents"]}
    assert set(contents) == {"report.html", "verdicts.json"}
    assert all(reproduced in file.parents for file in contents.values())  # nothing in the home folder
    arms = [items(read_back(r), "run")[0] for r in records(reproduced)[:2]]
    assert {arm["run_group"] for arm in arms} == {"tiny"}
