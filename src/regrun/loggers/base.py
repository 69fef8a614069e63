"""The interface of a logger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunInfo:
    """A run, as a logger sees it.

    Attributes:
        identity: the run's fingerprint.
        experiment: the experiment's name.
        arm: the arm's name.
        seed: the seed.
        scale: the scale.
        config: the resolved config.
        directory: folder of the record, for the logger's own files.
        history: ``(step, metrics)`` logged before a resumed run.
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
    """A judged reproduction, as a logger sees it.

    Attributes:
        experiment: the experiment's name.
        scale: the scale.
        directory: folder for the logger's own files.
        table: verdicts: column names, then a row per claim.
        summary: number of claims with each verdict.
        pictures: figures by name.
        files: report and entry.
    """

    experiment: str
    scale: str
    directory: Path
    table: Sequence[Sequence[Any]]
    summary: Mapping[str, int]
    pictures: Mapping[str, Path]
    files: Sequence[Path]


class Logger(Protocol):
    """Receives the metrics of a run."""

    def start(self, run: RunInfo) -> str | None:
        """Open the log; returns a line for the user, such as a link, if any."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics at a step."""

    def finish(self, status: str, summary: Mapping[str, float]) -> None:
        """Close the log with the record's ``status`` and the final metrics, empty if there are none."""

    def publish(self, publication: Publication) -> str | None:
        """Log the verdicts on an experiment; returns a line for the user, if any.

        Raises:
            UserError: if they cannot be sent.
        """
