"""``regrun report``: prints all verdicts so far and writes the index, or rewrites one report."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from regrun.console import OUT, complain
from regrun.errors import UserError
from regrun.report.index import write_index
from regrun.report.terminal import overview
from regrun.reproduction.ledger import entries
from regrun.verbs.options import Options, seed_count


def run(words: Sequence[str]) -> int:
    """Write the index, or one report; exit code 0."""
    parser = Options(
        "regrun report",
        description="Every verdict so far; or, with a name, one report again, from its records.",
    )
    parser.add_argument("name", nargs="?", help="an experiment")
    parser.add_argument("overrides", nargs="*", help="the overrides it was reproduced with")
    parser.add_argument(
        "--seeds", type=seed_count, help="judge so many seeds, from 0 (default: all that are complete)"
    )
    parser.add_argument("--scale", default="small", choices=("smoke", "small", "paper"))
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), help="where records lie, for the index"
    )
    parser.add_argument("--config-dir", "-cd", help="your own configs")
    options = parser.parse_intermixed_args(words)
    if options.name is not None:
        return one(options)
    found = [(file, entry) for file, entry in entries(options.outputs, complain) if entry.scale != "smoke"]
    if not found:
        raise UserError(f"no verdicts in {options.outputs} yet: regrun reproduce NAME makes some")
    OUT.print(overview([entry for _, entry in found]))
    OUT.print(Text(f"report  {write_index(options.outputs, found)}"), soft_wrap=True)
    return 0


def one(options: argparse.Namespace) -> int:
    """Judge an experiment's records again, and write its report."""
    from regrun.report.publishing import publish
    from regrun.reproduction.experiment import load_experiment
    from regrun.reproduction.judging import complete_seeds, judge_experiment, make_entry
    from regrun.reproduction.reading import Reading

    experiment = load_experiment(options.name, options.scale, options.overrides, options.config_dir)
    seeds = options.seeds or complete_seeds(experiment)
    reading = Reading(experiment.runs(seeds))
    if not reading.complete():
        command = shlex.join(["regrun", "reproduce", *experiment.words])
        raise UserError(f"no run of {options.name} is complete at this scale: {command}")
    judgements = judge_experiment(
        experiment, reading, dict.fromkeys((c.name for c in experiment.claims), seeds)
    )
    for line in reading.damaged():
        complain(line)
    entry = make_entry(experiment, reading, judgements)
    publish(experiment, reading, entry)
    return 0
