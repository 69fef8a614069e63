"""The runs of a sweep, before launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regrun.config.checking import checked_config
from regrun.config.composing import experiment_name, record_path
from regrun.records.divergence import divergence
from regrun.records.record import Record, Status
from regrun.runs.job import Outcome, label_of
from regrun.sweeps.composer import Composer


@dataclass(frozen=True)
class Job:
    """A run of a sweep, before launch.

    Attributes:
        overrides: its overrides, as typed.
        label: the run, for messages.
        directory: the run's record.
        force: whether to repeat it if it is complete.
    """

    overrides: tuple[str, ...]
    label: str
    directory: Path
    force: bool = False

    @property
    def status(self) -> Status:
        """The run's status; a complete record that was changed since is damaged."""
        record = Record(self.directory)
        status = record.status
        return Status.DAMAGED if status is Status.COMPLETE and not record.is_intact() else status

    def outcome(self, was_there: bool = False) -> Outcome:
        """The run's outcome so far; interrupted if it is neither complete nor absent."""
        status = self.status
        if status not in (Status.COMPLETE, Status.ABSENT):
            status = Status.INTERRUPTED
        how = divergence(Record(self.directory))
        return Outcome(self.label, status, self.directory, was_there=was_there, divergence=how)


def resolve_job(overrides: Sequence[str], compose: Composer) -> Job:
    """A job with the record that its config determines.

    Raises:
        UserError: if its config cannot be composed.
    """
    composed = compose(overrides)
    checked_config(composed)
    directory = Path(composed.outputs) / record_path(composed)
    return Job(tuple(overrides), label_of(experiment_name(composed), overrides), directory, composed.force)
