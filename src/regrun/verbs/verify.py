"""``regrun verify``: checks that entries' verdicts follow from their figures and are up to date."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from regrun.config.composing import compose_config
from regrun.console import OUT
from regrun.errors import UserError
from regrun.plural import count
from regrun.report.terminal import MARKS, summary_line
from regrun.reproduction.experiment import load_experiment
from regrun.reproduction.freshness import Standing, stamped, standing
from regrun.reproduction.habits import (
    apart,
    changes_of_habits,
    in_processes,
    smoke_figures_of,
)
from regrun.reproduction.ledger import ledger_file, ledger_folder, read_entry, write_entry
from regrun.runs.environment import available_cores
from regrun.verbs.options import Options

STANDINGS = {0: "fresh", 3: "old", 1: "in contradiction with itself", 2: "not to be judged"}
SIGNS = {0: ("✓", "green"), 1: ("✗", "red"), 2: ("✗", "red"), 3: ("~", "yellow")}


def run(words: Sequence[str]) -> int:
    """Judge entries of the ledger again from their own figures, and compare them with today's code."""
    options = parser().parse_intermixed_args(words)
    if options.all:
        if options.name is not None and "=" not in options.name:
            raise UserError(f"--all is for every entry: without {options.name}")
        options.overrides = [*([options.name] if options.name else []), *options.overrides]
        return verify_all(options)
    if options.name is None:
        raise UserError("name an experiment with an entry in outputs/ledger, or say --all")
    return verify_one(options)


def parser() -> Options:
    """The command's options."""
    result = Options(
        "regrun verify",
        description="Judge the committed figures of experiments again, from the ledger alone.",
        epilog="exit codes: 0 the verdicts follow and are up to date, or what has changed since does the "
        "same in smoke runs; 1 they do not follow; 3 they follow, and code or config has changed since; 2 "
        "something you can mend",
    )
    result.add_argument("name", nargs="?", help="an experiment with an entry in outputs/ledger")
    result.add_argument("overrides", nargs="*", help="such as outputs=...")
    result.add_argument("--all", action="store_true", help="every entry, in a line each")
    result.add_argument("--scale", choices=("small", "paper"), help="of the entry (default: small)")
    result.add_argument(
        "--smoke",
        action="store_true",
        help="where code or config has changed, run every arm for seconds and compare; the entry keeps that "
        "nothing has changed by it",
    )
    result.add_argument("--config-dir", "-cd", help="your own configs")
    return result


def verify_one(options: argparse.Namespace) -> int:
    """Report one entry in full; returns the exit code."""
    scale = options.scale or "small"
    experiment = load_experiment(options.name, scale, options.overrides, options.config_dir)
    file = ledger_file(experiment.outputs, options.name, scale)
    if not file.exists():
        command = shlex.join(["regrun", "reproduce", *experiment.words, "--record"])
        raise UserError(f"{file} is not there: {command} writes it")
    entry = read_entry(file)
    found = standing(entry, experiment)
    for claim in entry.claims:
        mark, style = MARKS[claim.verdict]
        OUT.print(Text.assemble((mark, style), f" {claim.name}  {claim.verdict.value}"), soft_wrap=True)
    OUT.print(summary_line(entry))
    for line in found.wrong:
        say(1, line)
    for line in [*found.runs, *found.questions]:
        say(3, line)
    if found.wrong:
        return 1
    OUT.print(
        f"every verdict follows from the entry's figures{', which are up to date' if found.is_fresh else ''}"
    )
    if not (options.smoke and found.smoke_may_tell):
        return found.exit_code
    lines = changes_of_habits(entry, experiment, apart)
    for line in lines:
        say(3, line)
    if lines:
        return 3
    write_entry(stamped(entry, experiment), file)
    OUT.print(
        f"no setting has changed, and {figures_of(len(entry.arms))}: {file} says so now", soft_wrap=True
    )
    return 0


@dataclass(frozen=True)
class Case:
    """An entry to check, in this process or another."""

    file: Path
    overrides: list[str]
    config_dir: str | None
    smoke: bool


def verify_all(options: argparse.Namespace) -> int:
    """Report each entry in a line; returns the exit code."""
    if options.scale:
        raise UserError("--all is for every entry, of whatever scale: without --scale")
    ledger = ledger_folder(Path(compose_config(options.overrides, options.config_dir).outputs))
    files = sorted(ledger.glob("*.json"))
    if not files:
        raise UserError(f"there is no entry in {ledger}: regrun reproduce NAME --record writes one")
    cases = [Case(file, options.overrides, options.config_dir, options.smoke) for file in files]
    codes = []
    for case, (code, words) in zip(cases, looked_at(cases), strict=True):
        say(code, f"{case.file.stem}  {words}")
        codes.append(code)
    counts = {words: codes.count(code) for code, words in STANDINGS.items()}
    total = count(len(codes), "entry", "entries")
    OUT.print(f"{total}: {', '.join(f'{n} {words}' for words, n in counts.items() if n)}")
    return next((code for code in (1, 2, 3) if code in codes), 0)


def looked_at(cases: Sequence[Case]) -> Iterator[tuple[int, str]]:
    """The standing of each entry, in order."""
    yield from in_processes(look_at, cases, workers=available_cores())


def look_at(case: Case) -> tuple[int, str]:
    """The exit code of an entry and its line; entries confirmed by smoke runs say so."""
    try:
        entry = read_entry(case.file)
        experiment = load_experiment(entry.experiment, entry.scale, case.overrides, case.config_dir)
        found = standing(entry, experiment)
        if not (case.smoke and found.smoke_may_tell):
            return found.exit_code, in_words(found)
        if lines := changes_of_habits(entry, experiment, smoke_figures_of):
            return 3, f"old: {'; '.join([*found.runs, *lines])}"
    except UserError as error:
        return 2, str(error)
    write_entry(stamped(entry, experiment), case.file)
    return 0, f"fresh: {figures_of(len(entry.arms))}"


def in_words(found: Standing) -> str:
    """The standing of an entry, in one line."""
    if found.wrong:
        return f"contradicts itself: {'; '.join(found.wrong)}"
    return "fresh" if found.is_fresh else f"old: {'; '.join([*found.runs, *found.questions])}"


def figures_of(arms: int) -> str:
    """The result of smoke runs of this many arms."""
    return f"smoke runs of {count(arms, 'arm')} give the figures of then"


def say(code: int, line: str) -> None:
    """Print a line with the sign of an exit code."""
    mark, style = SIGNS[code]
    OUT.print(Text(f"{mark} {line}", style="" if code == 0 else style), soft_wrap=True)
