"""The contract of a logger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunInfo:
    """What a logger is told about a run.

    Attributes:
        identity: the run's fingerprint.
        experiment: its experiment's name.
        arm: its arm's name.
        seed: its seed.
        scale: its scale.
        config: its resolved config.
        directory: its record, where a logger's own files belong.
        history: ``(step, metrics)`` already logged, where a run is resumed.
    """

    identity: str
    experiment: str
    arm: str
    seed: int
    scale: str
    config: Mapping[str, Any]
    directory: Path
    history: Sequence[tuple[int, Mapping[str, float]]] = ()


@dataclass(frozen=True)
class Publication:
    """What a logger is told about a judged reproduction.

    Attributes:
        experiment: its name.
        scale: its scale.
        directory: where a logger's own files belong.
        table: the verdicts: column names, then a row for each claim.
        summary: how many claims have each verdict.
        pictures: figures by name.
        files: the report and the entry.
    """

    experiment: str
    scale: str
    directory: Path
    table: Sequence[Sequence[Any]]
    summary: Mapping[str, int]
    pictures: Mapping[str, Path]
    files: Sequence[Path]


class Logger(Protocol):
    """Receives what a run measures."""

    def start(self, run: RunInfo) -> str | None:
        """Open; returns a line for the user, such as a link, if there is one."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics at a step."""

    def finish(self, status: str, summary: Mapping[str, float]) -> None:
        """Close: ``status`` is the record's, ``summary`` the final metrics, empty if there are none."""

    def publish(self, publication: Publication) -> str | None:
        """Keep the verdicts on an experiment; returns a line for the user, if there is one.

        Raises:
            UserError: if they cannot be sent.
        """
