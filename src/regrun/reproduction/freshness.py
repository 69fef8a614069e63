"""Whether an entry is consistent and still describes today's code."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from regrun.reproduction.entry import Check, ClaimEntry, Entry
from regrun.reproduction.experiment import Experiment
from regrun.reproduction.judging import judge_again
from regrun.runs.definitions import changed
from regrun.runs.environment import git_commit

TOLERANCE = 1e-6  # versions of scipy differ by less


@dataclass(frozen=True)
class Standing:
    """The faults of an entry, one line each.

    Attributes:
        wrong: internal contradictions.
        runs: changes in code and config.
        questions: changes in claims.
    """

    wrong: list[str]
    runs: list[str]
    questions: list[str]

    @property
    def is_fresh(self) -> bool:
        """Whether there are no faults."""
        return not (self.wrong or self.runs or self.questions)

    @property
    def smoke_may_tell(self) -> bool:
        """Whether it is old, but smoke runs may show that the change has no effect."""
        return bool(self.runs) and not (self.wrong or self.questions)

    @property
    def exit_code(self) -> int:
        """0 if fresh, 1 if contradictory, 3 if old."""
        return 1 if self.wrong else 0 if self.is_fresh else 3


def standing(entry: Entry, experiment: Experiment) -> Standing:
    """Compare an entry with itself and with today's experiment.

    Args:
        entry: the entry.
        experiment: today's experiment, at the entry's scale.
    """
    return Standing(
        list(contradictions(entry)),
        list(changed_runs(entry, experiment)),
        list(changed_questions(entry, experiment)),
    )


def stamped(entry: Entry, experiment: Experiment) -> Entry:
    """The entry with a note that today's code and configs behave the same."""
    check = Check(
        commit=git_commit(),
        when=time.strftime("%Y-%m-%d", time.gmtime()),
        code=experiment.code,
        arms={name: planned.identity(0) for name, planned in experiment.planned.items()},
    )
    return entry.model_copy(update={"checked": check})


def contradictions(entry: Entry) -> Iterator[str]:
    """Internal contradictions of an entry, one line each."""
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
    """Parts of code and config that differ from both the entry and its last check."""
    checked = entry.checked
    if (names := changed(entry.code, experiment.code)) and checked:
        names = changed(checked.code, experiment.code)
    if names:
        yield f"the code has changed since, of {', '.join(names)}"
    today = {name: planned.identity(0) for name, planned in experiment.planned.items()}
    known = {
        name: {arm.identity, *([checked.arms[name]] if checked and name in checked.arms else [])}
        for name, arm in entry.arms.items()
    }
    if names := [name for name in known if name in today and today[name] not in known[name]]:
        yield f"the config has changed since, of the arms {', '.join(names)}"


def changed_questions(entry: Entry, experiment: Experiment) -> Iterator[str]:
    """Changes in the claims since the entry was written, one line each."""
    arms = experiment.arms
    if gone := [name for name in entry.arms if name not in arms]:
        yield f"arms that are no longer there: {', '.join(gone)}"
    if new := [name for name in arms if name not in entry.arms]:
        yield f"arms that are new: {', '.join(new)}"
    today = {claim.name: claim.expect for claim in experiment.claims}
    before = {claim.name: claim.expect for claim in entry.claims}
    if names := [name for name in today if name in before and today[name] != before[name]]:
        yield f"claims whose lines have changed: {', '.join(names)}"
    if names := sorted({*today} ^ {*before}):
        yield f"claims that are new or gone: {', '.join(names)}"
