"""A reproduction as one small file: figures, intervals, verdicts, cost, versions, commit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

from regrun.claims import Bounds, Claim, Judgement, NotRunError, Part, Reduction, Results, Verdict
from regrun.claims.scaling import middle, scaled
from regrun.records.divergence import TRAINING_LOSSES


def _read_number(value: Any) -> Any:
    return math.nan if value is None else float(value) if value in ("inf", "-inf") else value


def _write_number(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else "inf" if value > 0 else "-inf"


Number = Annotated[float, BeforeValidator(_read_number), PlainSerializer(_write_number)]
Pair = tuple[Number, Number]


class StrictModel(BaseModel):
    """A part of an entry; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid")


class Comparison(StrictModel):
    """One comparison of a claim: quantity, wanted region, interval."""

    text: str
    wanted: str
    ends: list[Number]
    estimate: Pair
    interval: Pair
    method: str
    verdict: Verdict
    values: list[Pair]

    @property
    def middle(self) -> float:
        """The estimate, or the midpoint of its bounds."""
        return middle(*self.estimate)

    def to_scale(self) -> Comparison:
        """A copy divided by a power of two if its numbers are too large or too small to be drawn."""
        numbers = [*self.ends, *self.estimate, *self.interval, *(end for pair in self.values for end in pair)]
        _, power = scaled(numbers)
        if power == 1:
            return self
        ends, estimate, interval, *values = (
            tuple(end / power for end in ends)
            for ends in (self.ends, self.estimate, self.interval, *self.values)
        )
        return self.model_copy(
            update={"ends": list(ends), "estimate": estimate, "interval": interval, "values": values}
        )


class ClaimEntry(StrictModel):
    """A claim with its verdict."""

    name: str
    says: str
    expect: str
    paper: dict[str, Any]
    deterministic: bool
    verdict: Verdict
    why: str
    seeds: int
    p: float | None
    p_holm: float | None
    seeds_needed: int | None
    comparisons: list[Comparison]


class ArmEntry(StrictModel):
    """An arm: its overrides, final metrics and cost.

    ``seeds`` counts the complete runs, and ``final`` holds their final metrics. ``diverged`` lists the seeds
    whose runs diverged, completed or not; older entries lack it, and it is derived from ``final``.
    """

    overrides: list[str]
    identity: str
    seeds: int
    seconds: float
    final: dict[str, list[Number]]
    diverged: list[int] = []

    @model_validator(mode="after")
    def _tell_divergence(self) -> ArmEntry:
        self.diverged = self.diverged or self.diverged_by_final
        return self

    @property
    def diverged_by_final(self) -> list[int]:
        """Indices of complete runs that diverged, which equal their seeds if none is missing."""
        losses = [self.final[name] for name in TRAINING_LOSSES if name in self.final]
        return [k for k in range(self.seeds) if any(not math.isfinite(v[k]) for v in losses if k < len(v))]


class Cost(StrictModel):
    """Total cost of the complete runs."""

    runs: int
    wall_seconds: float
    cpu_seconds: float


class Habits(StrictModel):
    """Reference behaviour of an experiment in smoke runs, and its settings.

    Attributes:
        smoke: final metrics of a smoke run of each arm, without values that a second run did not repeat.
        shared: hashes of the settings common to all arms, at the entry's scale.
        own: hashes of the further settings of each arm.
    """

    smoke: dict[str, dict[str, Number]]
    shared: list[str]
    own: dict[str, list[str]]

    def settings(self, arm: str) -> set[str]:
        """All settings of an arm."""
        return {*self.shared, *self.own[arm]}


class Curve(StrictModel):
    """A metric of an arm at each step: mean, minimum and maximum over seeds.

    If there is a single step, ``mean`` holds the value of each seed, and ``low`` and ``high`` are empty.
    """

    steps: list[Number]
    mean: list[Number]
    low: list[Number]
    high: list[Number]


class Panel(StrictModel):
    """The curves of a metric by arm, and whether its axis is logarithmic."""

    metric: str
    log_y: bool
    arms: dict[str, Curve]


class Curves(StrictModel):
    """The first figure: its panels, the quantity on the x axis, and whether that axis is logarithmic."""

    x: str
    log_x: bool
    panels: list[Panel]


class Check(StrictModel):
    """A later check that smoke runs still give the entry's figures.

    Attributes:
        commit: commit of the checked code.
        when: date of the check.
        code: hash of each component, as in an entry.
        arms: identity of each arm.
    """

    commit: str | None
    when: str
    code: dict[str, str]
    arms: dict[str, str]


class Entry(StrictModel):
    """A reproduction.

    ``measured`` holds every quantity of the claims, as ``(low, high)`` per seed: verdicts depend on it, on
    ``arms`` and on the claims' lines alone. ``data`` holds the runs' notes on their data, ``code`` a hash of
    each component's definition, by its name in the config. ``habits`` are compared to tell whether later code
    behaves the same, and ``checked`` is the last code that did. ``curves`` belong to the first figure; older
    entries have none.
    """

    schema_version: Literal[2] = 2
    experiment: str
    scale: str
    overrides: list[str]
    paper: dict[str, Any]
    looks: int
    claims: list[ClaimEntry]
    measured: dict[str, list[Pair]]
    arms: dict[str, ArmEntry]
    cost: Cost
    environment: dict[str, Any]
    data: list[str] = []
    commits: list[str]
    code: dict[str, str]
    judged: str
    habits: Habits | None = None
    curves: Curves | None = None
    checked: Check | None = None
    seal: str = ""

    def sealed(self) -> Entry:
        """A copy with a hash of all other fields as its seal."""
        return self.model_copy(update={"seal": self.digest()})

    def digest(self) -> str:
        """A hash of all fields except the seal."""
        text = self.model_copy(update={"seal": ""}).model_dump_json(exclude=self._left_out())
        return hashlib.sha256(text.encode()).hexdigest()

    def _left_out(self) -> dict[str, Any]:
        # Older entries were sealed without these fields.
        arms = {
            name: {"diverged"} for name, arm in self.arms.items() if arm.diverged == arm.diverged_by_final
        }
        absent = {name: True for name in ("habits", "curves") if getattr(self, name) is None}
        return {"arms": arms} | absent

    def results(self) -> Results:
        """The measured figures, for judging them again."""

        def look_up(leaf: Reduction, seed: int) -> Bounds:
            try:
                return Bounds(*self.measured[str(leaf)][seed])
            except (KeyError, IndexError):
                raise NotRunError(f"{leaf} of seed {seed} is not in the entry") from None

        return look_up

    @property
    def diverged(self) -> dict[str, list[int]]:
        """The seeds whose runs diverged, for each arm that has any."""
        return {name: arm.diverged for name, arm in self.arms.items() if arm.diverged}

    def count(self, verdict: Verdict) -> int:
        """The number of claims with a verdict."""
        return sum(claim.verdict is verdict for claim in self.claims)

    @property
    def device(self) -> str:
        """The device of the runs, in words."""
        words = str(self.environment.get("device", ""))
        return words[:-1] if words.endswith(" 1 threads") else words  # as older entries have it

    @property
    def least_seeds(self) -> int:
        """The smallest number of seeds of any arm."""
        return min((arm.seeds for arm in self.arms.values()), default=0)

    @property
    def most_seeds(self) -> int:
        """The largest number of seeds of any arm."""
        return max((arm.seeds for arm in self.arms.values()), default=0)


def claim_entry(judgement: Judgement) -> ClaimEntry:
    """A judgement as an entry stores it."""
    claim = judgement.claim
    return ClaimEntry(
        name=claim.name,
        says=claim.says,
        expect=claim.expect,
        paper=dict(claim.paper),
        deterministic=claim.deterministic,
        verdict=judgement.verdict,
        why=judgement.why,
        seeds=judgement.seeds,
        p=judgement.p,
        p_holm=judgement.p_holm,
        seeds_needed=judgement.seeds_needed,
        comparisons=[_comparison(part) for part in judgement.parts],
    )


def _comparison(part: Part) -> Comparison:
    return Comparison(
        text=part.text,
        wanted=str(part.region),
        ends=[part.region.low, part.region.high],
        estimate=(part.estimate.low, part.estimate.high),
        interval=part.interval,
        method=part.method,
        verdict=part.verdict,
        values=[(value.low, value.high) for value in part.values],
    )


def measured_table(claims: list[Claim], results: Results, seeds: Mapping[str, int]) -> dict[str, list[Pair]]:
    """All measured quantities that the claims need.

    Args:
        claims: the experiment's claims.
        results: looks up a quantity for a seed.
        seeds: number of seeds for each claim, by name.
    """
    table: dict[str, list[Pair]] = {}
    for claim in claims:
        for leaf in claim.measured:
            values: list[Pair] = []
            for seed in range(max(seeds[claim.name], len(table.get(str(leaf), [])))):
                try:
                    value = results(leaf, seed)
                except NotRunError:
                    break
                values.append((value.low, value.high))
            table[str(leaf)] = values
    return table
