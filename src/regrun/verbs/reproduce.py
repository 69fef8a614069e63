"""``regrun reproduce``: runs all arms × seeds of an experiment, judges, and reports."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.text import Text

from regrun.claims import Claim, Judgement, Verdict
from regrun.claims.verdict import FEWEST_SEEDS
from regrun.config.run_values import SCALES
from regrun.console import OUT, complain
from regrun.errors import UserError, nearest
from regrun.launchers.task import packs
from regrun.plural import count as number_of
from regrun.records.record import Status
from regrun.reproduction.entry import Entry
from regrun.reproduction.experiment import Experiment, load_experiment
from regrun.reproduction.judging import judge_experiment, make_entry
from regrun.reproduction.ledger import seconds_per_arm
from regrun.reproduction.plan import PlannedRun, choose_arms
from regrun.reproduction.progress import duration, progress_of, seconds_left, seconds_per_run
from regrun.reproduction.reading import Reading
from regrun.runs.definitions import changed as changed_code
from regrun.runs.environment import available_cores
from regrun.verbs.options import Options, seed_count

EPILOG = """exit codes: 0 all claims reproduced; 1 a claim not reproduced, or a run failed; 3 a claim
inconclusive or not run; 2 something you can mend, said in one line; 130 interrupted"""


def run(words: Sequence[str]) -> int:
    """Reproduce; see the module."""
    options = parser().parse_intermixed_args(words)
    take_scale(options)
    experiment = load_experiment(options.name, options.scale, options.overrides, options.config_dir)
    seeds = options.seeds or experiment.seeds
    wanted = options.arms.split(",") if options.arms else None
    chosen = [arm.name for arm in choose_arms(wanted, experiment.arms)]
    schedule = looks(seeds, options.until_decided)
    if options.record:
        check_recordable(experiment, seeds, wanted)
    if options.dry_run:  # which builds nothing: one may look at a stranger's experiment so
        announce(experiment, experiment.runs(seeds), chosen, show_all=True)
        return 0
    experiment.check_metrics(experiment.runs(seeds))
    if options.record:
        check_one_code(Reading(experiment.runs(seeds)))

    found = run_and_judge(experiment, schedule, chosen)
    if found is None:
        return 130
    reading, judgements, failed = found
    for line in reading.damaged():
        complain(line)
    for run, line in reading.mixed():
        complain(f"{run.directory}: {line}")
    entry = make_entry(experiment, reading, judgements, len(schedule))
    from regrun.report.publishing import publish, record_in_ledger, tell_loggers

    report = publish(experiment, reading, entry)
    tell_loggers(experiment, entry, report)
    if options.record:
        check_one_code(reading)
        say_older_code(experiment, entry)
        record_in_ledger(experiment, entry)
    return exit_code(entry, failed)


def run_and_judge(
    experiment: Experiment, schedule: Sequence[int], arms: Sequence[str]
) -> tuple[Reading, list[Judgement], bool] | None:
    """Run what is missing and judge it, adding seeds for undecided claims as the schedule allows.

    Returns the reading, the judgements, and whether a run failed; ``None`` if interrupted.
    """
    failed = False
    seeds = dict.fromkeys((claim.name for claim in experiment.claims), schedule[0])
    for look, count in enumerate(schedule, start=1):
        runs = experiment.runs(count)
        code = run_missing(experiment, runs, arms, count)
        if code == 130:
            return None
        failed = failed or code != 0
        reading = Reading(runs)
        judgements = judge_experiment(experiment, reading, seeds, len(schedule))
        open_claims = undecided(judgements)
        arms = [arm for arm in arms if any(arm in claim.arms for claim in open_claims)]
        if not arms or look == len(schedule):
            break
        seeds |= dict.fromkeys((claim.name for claim in open_claims), schedule[look])
        several = number_of(len(open_claims), "claim is", "claims are")
        OUT.print(f"{several} undecided with {number_of(count, 'seed')}; more seeds are run")
    return reading, judgements, failed


def undecided(judgements: Sequence[Judgement]) -> list[Claim]:
    """The claims that more seeds may decide; not those that diverged runs left uncompared."""
    return [j.claim for j in judgements if j.verdict is Verdict.INCONCLUSIVE and j.parts]


def parser() -> Options:
    """The command's options."""
    result = Options(
        "regrun reproduce",
        description="Run what is missing of all arms × seeds of an experiment, then judge its claims.",
        epilog=EPILOG,
    )
    result.add_argument("name", help="the experiment (regrun list experiment)")
    result.add_argument("overrides", nargs="*", help="Hydra overrides for all arms, such as trainer=gpu")
    result.add_argument("--arms", help="run only these, comma-separated; a family's name is all its members")
    result.add_argument("--seeds", type=seed_count, help="how many, from 0 (default: the experiment's)")
    result.add_argument("--scale", choices=SCALES, help="how big (default: small)")
    result.add_argument("--dry-run", action="store_true", help="say what would run, and what it would cost")
    result.add_argument(
        "--record", action="store_true", help="write the ledger's entry: outputs/ledger/<name>.json"
    )
    result.add_argument(
        "--until-decided",
        type=seed_count,
        metavar="MAX",
        help="double the seeds of what is inconclusive, up to MAX, at levels corrected for the looks",
    )
    result.add_argument("--config-dir", "-cd", help="your own configs")
    return result


def take_scale(options: argparse.Namespace) -> None:
    """Read ``scale=paper`` as ``--scale paper``, as for a single run.

    Raises:
        UserError: if the two differ, or there is no such scale.
    """
    for word in [word for word in options.overrides if word.startswith("scale=")]:
        scale = word.removeprefix("scale=")
        if scale not in SCALES:
            raise UserError(f"{word}: expected {' | '.join(SCALES)}{nearest(scale, SCALES)}")
        if options.scale not in (None, scale):
            raise UserError(f"{word}: --scale {options.scale} says otherwise")
        options.scale = scale
        options.overrides.remove(word)
    options.scale = options.scale or "small"


def looks(seeds: int, most: int | None) -> list[int]:
    """The numbers of seeds at which claims are judged: doubling, up to the maximum."""
    if most is None:
        return [seeds]
    if most < seeds:
        raise UserError(f"--until-decided {most} is less than the {number_of(seeds, 'seed')} to begin with")
    counts = [seeds]
    while counts[-1] < most:
        counts.append(min(2 * counts[-1], most))
    return counts


def check_recordable(experiment: Experiment, seeds: int, wanted: Sequence[str] | None) -> None:
    """Raise ``UserError`` unless the experiment is complete and unchanged, as the ledger requires."""
    if experiment.scale == "smoke":
        raise UserError("--record: a smoke run yields no verdict")
    if experiment.changes:
        raise UserError(
            "--record: the ledger is for the experiment as it stands, not with "
            + " ".join(experiment.changes)
        )
    if wanted is not None:
        raise UserError("--record: the ledger is for all arms")
    if seeds < FEWEST_SEEDS:
        raise UserError(f"--record: a verdict needs at least {number_of(FEWEST_SEEDS, 'seed')}, not {seeds}")
    load_experiment(experiment.name, "smoke", [], experiment.config_dir)  # whose figures the entry keeps


def check_one_code(reading: Reading) -> None:
    """Raise ``UserError`` if several versions of the code computed a run, which the ledger refuses."""
    for run, changed in reading.mixed():
        raise UserError(
            f"--record: {run.directory} was computed by more than one code ({changed}); remove it, or add "
            "force=true, to run it again"
        )


def say_older_code(experiment: Experiment, entry: Entry) -> None:
    """Report components that have changed since the runs were computed."""
    if names := changed_code(entry.code, experiment.code):
        complain(f"not all runs were computed by the code of today; changed since: {', '.join(names)}")


def run_missing(experiment: Experiment, runs: Sequence[PlannedRun], arms: Sequence[str], seeds: int) -> int:
    """Launch missing runs through Hydra; returns the exit code."""
    missing = announce(experiment, runs, arms)
    if not missing:
        return 0
    from regrun.sweeps.command import run_hydra

    words = [
        "-m",
        *(["--config-dir", experiment.config_dir] if experiment.config_dir else []),
        *experiment.base,
    ]
    chosen = any(word.startswith("hydra/launcher=") for word in experiment.overrides)
    if packs(experiment.config) and not chosen:
        # One thread each: a run's bits must not depend on how many runs share the machine.
        words += ["hydra/launcher=packed", f"hydra.launcher.n_jobs={min(available_cores(), missing)}"]
        if not any(word.startswith("trainer.threads=") for word in experiment.overrides):
            words.append("trainer.threads=1")
    names = ",".join(f"'{arm}'" for arm in arms)
    return run_hydra(
        [*words, "hydra/sweeper=arms", f"hydra.sweeper.arms=[{names}]", f"hydra.sweeper.seeds={seeds}"]
    )


def announce(
    experiment: Experiment, runs: Sequence[PlannedRun], arms: Sequence[str], show_all: bool = False
) -> int:
    """Print what is to run and its expected cost; returns the number of missing runs."""
    asked = [run for run in runs if run.arm in arms]
    progress = {run: progress_of(run.record) for run in runs}
    missing = {run.directory: run for run in asked if progress[run].status is not Status.COMPLETE}
    earlier = seconds_per_arm(experiment.outputs, experiment.name, experiment.scale)
    per_run = seconds_per_run(runs, progress, earlier)
    cores = available_cores()
    left = seconds_left(list(missing.values()), progress, per_run, cores)
    cost = (
        ""
        if not missing
        else ", of unknown cost"
        if left is None
        else f", about {duration(left)} on {number_of(cores, 'core')}"
    )
    seeds = len({run.seed for run in runs})
    OUT.print(
        Text.assemble(
            (f"{experiment.name} · {experiment.scale}", "bold"),
            f"  {number_of(len(arms), 'arm')} × {number_of(seeds, 'seed')}, "
            f"{number_of(len(missing), 'run')} to do{cost}",
        ),
        soft_wrap=True,
    )
    for run in missing.values() if show_all else []:
        seconds = per_run.get(run.arm)
        words = f"  {run.arm} seed {run.seed}  {progress[run].status.value}"
        words += f" at {progress[run].fraction:.0%}" if progress[run].step > 0 else ""
        OUT.print(Text(words + (f"  about {duration(seconds)}" if seconds else "")), soft_wrap=True)
    return len(missing)


def exit_code(entry: Entry, failed: bool) -> int:
    """The command's help text."""
    if failed or entry.count(Verdict.NOT_REPRODUCED):
        return 1
    if entry.scale == "smoke":
        return 0
    return 3 if entry.count(Verdict.INCONCLUSIVE) + entry.count(Verdict.NOT_RUN) else 0
