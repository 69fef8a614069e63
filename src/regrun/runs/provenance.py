"""Which code computed which steps of a run, so that a resumed run reports changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from regrun.config.whitelist import find_targets
from regrun.runs.definitions import definition_hashes
from regrun.runs.environment import git_commit, package_version
from regrun.runs.sources import source_hashes

LIBRARIES = ("torch", "lightning", "torchmetrics", "torchvision", "numpy")  # they affect a run's numbers

Part = dict[str, Any]
"""What computed the steps after ``after_step`` (-1 from the beginning): ``commit``; ``code``, a hash of each
source file that the numbers depend on, by module; ``definitions``, what an entry says of it, by component;
``versions`` of libraries; and, of a stage that the run has begun with, ``stage``, its folder."""


def part_of(procedure: Any, after_step: int) -> Part:
    """A description of the code that computes a run in this process.

    Args:
        procedure: the procedure's config.
        after_step: the step it resumes from, -1 for none.
    """
    targets = {target for _, target in find_targets(procedure)}
    return {
        "commit": git_commit(),
        "code": source_hashes(targets),
        "definitions": definition_hashes(targets),
        "versions": {name: found for name in LIBRARIES if (found := package_version(name))},
        "after_step": after_step,
    }


def with_part(manifest: Mapping[str, Any], part: Part) -> list[Part]:
    """The parts of a run after it resumes with a further one.

    Parts computed after the resumed step are dropped, and a part equal to the previous one is merged with it.
    Runs from before parts were recorded have only a commit.

    Args:
        manifest: previous content of ``run.json``; empty for a new run.
        part: the code that computes the rest.
    """
    if part["after_step"] < 0:
        return [part]
    unknown = {"code": {}, "versions": {}, "after_step": -1}
    earlier = manifest.get("computed_by") or [{"commit": manifest["environment"]["commit"], **unknown}]
    kept = [p for p in earlier if "stage" not in p and p["after_step"] < part["after_step"]]
    same = kept and all(kept[-1][key] == part[key] for key in ("commit", "code", "versions"))
    return kept if same else [*kept, part]


def stage_parts(manifest: Mapping[str, Any], folder: str) -> list[Part]:
    """The parts of a stage, as recorded by the run that uses it."""
    return [{**part, "stage": folder} for part in manifest.get("computed_by", [])]


def changes(parts: Sequence[Part]) -> list[str]:
    """Relevant differences between the parts of a run, one line each."""
    lines = []
    own = [part for part in parts if "stage" not in part]
    for before, after in pairwise(own):
        if names := differing(before, after):
            lines.append(f"the code changed after step {after['after_step']}: {names}")
    for part in parts if own else ():
        if "stage" in part and (names := differing(part, own[-1])):
            lines.append(f"the stage {part['stage']} was computed by another code: {names}")
    return list(dict.fromkeys(lines))


def differing(a: Part, b: Part) -> str:
    """The modules and libraries whose versions differ between two parts; empty if none."""
    if not (a["code"] and b["code"]):
        same = a["commit"] == b["commit"] and not str(a["commit"]).endswith("+")
        return "" if same else f"commit {a['commit']}, then {b['commit']}"
    names = [name for name, hashed in a["code"].items() if b["code"].get(name, hashed) != hashed]
    names += [
        f"{name} {version}, then {b['versions'][name]}"
        for name, version in a["versions"].items()
        if b["versions"].get(name, version) != version
    ]
    return ", ".join(names)
