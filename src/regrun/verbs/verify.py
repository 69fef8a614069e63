"""``regrun verify``: whether an entry's verdicts follow from its figures, and whether it is up to date."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence

from rich.text import Text

from regrun.config.identity import settings
from regrun.console import OUT
from regrun.errors import UserError
from regrun.plural import count
from regrun.report.terminal import MARKS, summary_line
from regrun.reproduction.entry import ClaimEntry, Entry
from regrun.reproduction.experiment import Experiment, load_experiment
from regrun.reproduction.habits import differences, smoke_figures
from regrun.reproduction.judging import judge_again
from regrun.reproduction.ledger import ledger_file, read_entry
from regrun.verbs.options import Options

TOLERANCE = 1e-6  # versions of scipy differ by less


def run(words: Sequence[str]) -> int:
    """Judge a ledger entry again, from the entry alone, and compare it with the code and config of today."""
    parser = Options(
        "regrun verify",
        description="Judge the committed figures of an experiment again, from the ledger alone.",
        epilog="exit codes: 0 the verdicts follow and are up to date, or what has changed since does the "
        "same in smoke runs; 1 they do not follow; 3 they follow, and code or config has changed since; 2 "
        "something you can mend",
    )
    parser.add_argument("name", help="an experiment with an entry in outputs/ledger")
    parser.add_argument("overrides", nargs="*", help="such as outputs=...")
    parser.add_argument("--scale", default="small", choices=("small", "paper"))
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="where code or config has changed, run every arm for seconds and compare",
    )
    parser.add_argument("--config-dir", "-cd", help="your own configs")
    options = parser.parse_intermixed_args(words)
    experiment = load_experiment(options.name, options.scale, options.overrides, options.config_dir)
    file = ledger_file(experiment.outputs, options.name, options.scale)
    if not file.exists():
        command = shlex.join(["regrun", "reproduce", *experiment.words, "--record"])
        raise UserError(f"{file} is not there: {command} writes it")
    entry = read_entry(file)
    wrong = list(contradictions(entry))
    for claim in entry.claims:
        mark, style = MARKS[claim.verdict]
        OUT.print(Text.assemble((mark, style), f" {claim.name}  {claim.verdict.value}"), soft_wrap=True)
    OUT.print(summary_line(entry))
    for line in wrong:
        OUT.print(Text(f"✗ {line}", style="red"), soft_wrap=True)
    runs, questions = list(changed_runs(entry, experiment)), list(changed_questions(entry, experiment))
    for line in [*runs, *questions]:
        OUT.print(Text(f"~ {line}", style="yellow"), soft_wrap=True)
    if wrong:
        return 1
    up_to_date = "" if runs or questions else ", which are up to date"
    OUT.print(f"every verdict follows from the entry's figures{up_to_date}")
    if runs and options.smoke and not questions:
        return smoke_again(entry, experiment)
    return 3 if runs or questions else 0


def smoke_again(entry: Entry, experiment: Experiment) -> int:
    """Whether an experiment still does what it did when its entry was written; returns the exit code."""
    if entry.habits is None:
        raise UserError("the entry has no figures of smoke runs: it was recorded before there were any")
    lines = [
        f"settings of the arm {name} have changed, or are gone"
        for name, arm in experiment.planned.items()
        if not entry.habits.settings(name) <= settings(arm.config)
    ]
    lines = lines or differences(entry.habits.smoke, smoke_figures(experiment))
    for line in lines:
        OUT.print(Text(f"~ {line}", style="yellow"), soft_wrap=True)
    if not lines:
        arms = count(len(entry.habits.smoke), "arm")
        OUT.print(f"no setting has changed, and smoke runs of {arms} give the figures of then")
    return 3 if lines else 0


def contradictions(entry: Entry) -> Iterator[str]:
    """Where an entry does not agree with itself, in one line each."""
    if entry.seal != entry.digest():
        yield "the entry was edited after it was written"
    for written, again in zip(entry.claims, judge_again(entry), strict=True):
        if written.verdict is not again.verdict:
            yield f"{written.name}: said to be {written.verdict.value}, its figures say {again.verdict.value}"
        elif not agree(written, again):
            yield f"{written.name}: the interval does not follow from the figures"


def agree(written: ClaimEntry, again: ClaimEntry) -> bool:
    """Whether two judgements of a claim give the same intervals."""
    a = [end for c in written.comparisons for end in (*c.estimate, *c.interval)]
    b = [end for c in again.comparisons for end in (*c.estimate, *c.interval)]
    return len(a) == len(b) and all(
        x == y or math.isclose(x, y, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for x, y in zip(a, b, strict=True)
    )


def changed_runs(entry: Entry, experiment: Experiment) -> Iterator[str]:
    """What of code and config is no longer as it was when the entry was written, in one line each."""
    code = experiment.source_hashes()
    if changed := sorted(name for name in {*code, *entry.code} if code.get(name) != entry.code.get(name)):
        yield f"the code has changed since: {', '.join(changed)}"
    arms = {name: planned.identity(0) for name, planned in experiment.planned.items()}
    if changed := [name for name, arm in entry.arms.items() if name in arms and arms[name] != arm.identity]:
        yield f"the config has changed since, of the arms {', '.join(changed)}"


def changed_questions(entry: Entry, experiment: Experiment) -> Iterator[str]:
    """What is asked otherwise than when the entry was written, in one line each."""
    arms = experiment.arms
    if gone := [name for name in entry.arms if name not in arms]:
        yield f"arms that are no longer there: {', '.join(gone)}"
    if new := [name for name in arms if name not in entry.arms]:
        yield f"arms that are new: {', '.join(new)}"
    today = {claim.name: claim.expect for claim in experiment.claims}
    before = {claim.name: claim.expect for claim in entry.claims}
    if changed := [name for name in today if name in before and today[name] != before[name]]:
        yield f"claims whose lines have changed: {', '.join(changed)}"
    if changed := sorted({*today} ^ {*before}):
        yield f"claims that are new or gone: {', '.join(changed)}"
