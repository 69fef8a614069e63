"""The claims in an experiment's config."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regrun.claims.expressions import DIVERGES, Reduction, Truth
from regrun.claims.grammar import ClaimError, parse
from regrun.config.arms import Arm
from regrun.errors import UserError, nearest

KEYS = ("says", "expect", "paper", "deterministic")


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper and the expression that tests it.

    Attributes:
        name: its key in the config.
        says: the sentence.
        expect: the expression.
        truth: the parsed expression.
        paper: the paper's own figures and where they are.
        deterministic: whether each seed must satisfy it: a theorem, checked to a tolerance.
    """

    name: str
    says: str
    expect: str
    truth: Truth
    paper: Mapping[str, Any] = field(default_factory=dict)
    deterministic: bool = False

    @property
    def measured(self) -> list[Reduction]:
        """The distinct quantities that it needs."""
        return list(dict.fromkeys(self.truth.leaves()))

    @property
    def arms(self) -> list[str]:
        """The arms it mentions."""
        return list(dict.fromkeys(leaf.curve.arm for leaf in self.measured))

    @property
    def arms_by_value(self) -> list[str]:
        """The arms used for more than whether they diverge."""
        return list(dict.fromkeys(leaf.curve.arm for leaf in self.measured if leaf.function != DIVERGES))


def read_claims(config: Mapping[str, Any], arms: Mapping[str, Arm]) -> list[Claim]:
    """Parse the claims of an experiment.

    Args:
        config: the ``claims`` of a resolved config.
        arms: the experiment's arms.

    Raises:
        UserError: for an invalid claim, with its name and what is wrong.
    """
    claims = []
    for name, node in config.items():
        if not isinstance(node, Mapping):
            raise UserError(f"claims.{name}: expected says and expect, got {node!r}")
        for key in node:
            if key not in KEYS:
                raise UserError(f"claims.{name}: unknown key {key!r}{nearest(str(key), KEYS)}")
        for key in ("says", "expect"):
            if not isinstance(node.get(key), str):
                raise UserError(f"claims.{name}.{key}: expected a line of text, got {node.get(key)!r}")
        try:
            truth = parse(node["expect"], arms)
        except ClaimError as error:
            raise ClaimError(f"claims.{name}: {error}") from error
        paper = node.get("paper") or {}
        if not isinstance(paper, Mapping):
            raise UserError(f"claims.{name}.paper: expected the paper's figures by name, got {paper!r}")
        deterministic = node.get("deterministic", False)
        if not isinstance(deterministic, bool):
            raise UserError(f"claims.{name}.deterministic: expected true or false, got {deterministic!r}")
        claims.append(Claim(name, node["says"], node["expect"], truth, paper, deterministic))
    return claims


def check_measured(claims: Iterable[Claim], metrics: Mapping[str, Collection[str]]) -> None:
    """Check that every arm reports the metrics in the claims, before anything runs.

    Args:
        claims: an experiment's claims.
        metrics: metrics of each arm; ``name`` also covers the parts ``name/...``.

    Raises:
        ClaimError: for an unknown metric, with the nearest right spelling.
    """
    for claim in claims:
        for leaf in claim.measured:
            known = metrics[leaf.curve.arm]
            name = leaf.curve.metric
            if name not in known and name.partition("/")[0] not in known:
                raise ClaimError(
                    f"claims.{claim.name}: the arm {leaf.curve.arm} does not measure {name!r}"
                    f"{nearest(name, known)}"
                )
