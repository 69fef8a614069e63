"""Makes an entry from records, and verdicts from an entry."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from regrun.claims import Judgement, Verdict, judge, read_claims
from regrun.config.arms import Arm
from regrun.records.record import Status
from regrun.reproduction.curves import Headline, collect, headline_curves
from regrun.reproduction.entry import ArmEntry, ClaimEntry, Cost, Entry, claim_entry, measured_table
from regrun.reproduction.experiment import Experiment
from regrun.reproduction.plan import PlannedRun
from regrun.reproduction.reading import Reading, final_metrics

SMOKE = "a smoke run proves that the code runs, and yields no verdict"


def judge_experiment(
    experiment: Experiment, reading: Reading, seeds: Mapping[str, int], looks: int = 1
) -> list[Judgement]:
    """The verdicts on an experiment's claims.

    Args:
        experiment: the experiment.
        reading: its runs.
        seeds: number of seeds for each claim, by name.
        looks: the maximum number of looks at the figures.
    """
    judgements = judge(experiment.claims, reading, lambda claim: seeds[claim.name], looks, reading.diverged())
    if experiment.scale != "smoke":
        return judgements
    return [Judgement(j.claim, Verdict.NOT_RUN, SMOKE, j.seeds) for j in judgements]


def make_entry(
    experiment: Experiment,
    reading: Reading,
    judgements: Sequence[Judgement],
    looks: int = 1,
) -> Entry:
    """An entry from judged runs."""
    complete = reading.complete()
    manifests = [run.record.manifest() for run in complete]
    newest = max(manifests, key=lambda manifest: manifest["started"], default=None)
    results = [run.record.result() for run in unique(complete)]
    seeds = {judgement.claim.name: judgement.seeds for judgement in judgements}
    diverged = reading.diverged()
    return Entry(
        experiment=experiment.name,
        scale=experiment.scale,
        overrides=experiment.changes,
        paper=dict(experiment.config["paper"]),
        looks=looks,
        claims=[claim_entry(judgement) for judgement in judgements],
        measured=measured_table(list(experiment.claims), reading, seeds),
        arms={
            name: _arm_entry(
                arm,
                experiment,
                [run for run in complete if run.arm == name],
                reading,
                diverged.get(name, []),
            )
            for name, arm in experiment.arms.items()
        },
        cost=Cost(
            runs=len(results),
            wall_seconds=round(sum(result["wall_seconds"] for result in results), 1),
            cpu_seconds=round(sum(result["cpu_seconds"] for result in results), 1),
        ),
        environment=_environment(newest) if newest else {},
        data=sorted({note for manifest in manifests for note in manifest.get("notes", [])}),
        commits=sorted({commit for manifest in manifests for commit in commits_of(manifest)}),
        code=code_of(manifests, experiment.code),
        judged=time.strftime("%Y-%m-%d", time.gmtime()),
        curves=headline_curves(collect(reading), Headline(**experiment.config["report"])),
    ).sealed()


def commits_of(manifest: Mapping[str, Any]) -> set[str]:
    """The commits that computed a run, including its stages."""
    parts = [manifest["environment"], *manifest.get("computed_by", [])]
    return {str(part["commit"]) for part in parts}


def code_of(manifests: Sequence[Mapping[str, Any]], today: Mapping[str, str]) -> dict[str, str]:
    """A hash of each component of the runs, by its name; several if it changed between runs.

    Args:
        manifests: the runs' ``run.json``.
        today: today's hashes, used for runs that recorded none.
    """
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for part in manifest.get("computed_by", []):
            # Older runs recorded only file hashes; smoke runs then decide whether the behaviour is the same.
            for name, hashed in part.get("definitions", part["code"]).items():
                found.setdefault(name, set()).add(hashed)
    return dict(sorted({**today, **{name: " ".join(sorted(h)) for name, h in found.items()}}.items()))


def _arm_entry(
    arm: Arm,
    experiment: Experiment,
    runs: Sequence[PlannedRun],
    reading: Reading,
    diverged: list[int],
) -> ArmEntry:
    finals = [final_metrics(reading, run) for run in runs]
    seconds = [float(run.record.result()["wall_seconds"]) for run in runs]
    return ArmEntry(
        overrides=list(arm.overrides),
        identity=experiment.planned[arm.name].identity(0),
        seeds=len(runs),
        seconds=round(sum(seconds) / len(seconds), 1) if seconds else 0.0,
        final={
            name: [float(f"{final[name]:.6g}") for final in finals if name in final]
            for name in dict.fromkeys(name for final in finals for name in final)
        },
        diverged=diverged,
    )


def _environment(manifest: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in manifest["environment"].items() if key not in ("host", "commit")}
    return {**kept, "device": manifest["device"], "precision": manifest["precision"]}


def unique(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """The runs, without those that share a record with an earlier one."""
    return list({run.directory: run for run in runs}.values())


def judge_again(entry: Entry) -> list[ClaimEntry]:
    """The verdicts that follow from an entry's own figures.

    Raises:
        UserError: if a claim cannot be parsed.
    """
    config = {
        claim.name: {
            "says": claim.says,
            "expect": claim.expect,
            "paper": claim.paper,
            "deterministic": claim.deterministic,
        }
        for claim in entry.claims
    }
    claims = read_claims(config, arms_of(entry))
    seeds = {claim.name: claim.seeds for claim in entry.claims}
    judgements = judge(claims, entry.results(), lambda claim: seeds[claim.name], entry.looks, entry.diverged)
    if entry.scale == "smoke":
        judgements = [replace(j, verdict=Verdict.NOT_RUN, p=None, p_holm=None) for j in judgements]
    return [claim_entry(judgement) for judgement in judgements]


def arms_of(entry: Entry) -> dict[str, Arm]:
    """An entry's arms as an experiment's arms."""
    return {name: _arm(name, arm.overrides) for name, arm in entry.arms.items()}


def _arm(name: str, overrides: Sequence[str]) -> Arm:
    family, _, text = name.partition("=")
    value: object = text
    for kind in (int, float):
        try:
            value = kind(text)
            break
        except ValueError:
            continue
    return Arm(name, tuple(overrides), family, value) if text else Arm(name, tuple(overrides))


def complete_seeds(experiment: Experiment) -> int:
    """The number of seeds, from 0, complete for every arm; at least the experiment's own number."""
    count = experiment.seeds
    while True:
        following = experiment.runs(2 * count)
        complete = [
            seed
            for seed in range(2 * count)
            if all(run.record.status is Status.COMPLETE for run in following if run.seed == seed)
        ]
        if len(complete) < 2 * count:
            whole = next(k for k in range(2 * count) if k not in complete)
            return max(count, whole)
        count *= 2
