"""The runs of a sweep, before they are launched."""

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
    """One run of a sweep, before it is launched.

    Attributes:
        overrides: what one would type.
        label: which run, for people.
        directory: its record.
        force: whether it is to be run whatever the record says.
    """

    overrides: tuple[str, ...]
    label: str
    directory: Path
    force: bool = False

    @property
    def status(self) -> Status:
        """Where the run stands; one that is complete and was changed since is damaged."""
        record = Record(self.directory)
        status = record.status
        return Status.DAMAGED if status is Status.COMPLETE and not record.is_intact() else status

    def outcome(self, was_there: bool = False) -> Outcome:
        """How far the run has come; one that is neither complete nor absent is interrupted."""
        status = self.status
        if status not in (Status.COMPLETE, Status.ABSENT):
            status = Status.INTERRUPTED
        how = divergence(Record(self.directory))
        return Outcome(self.label, status, self.directory, was_there=was_there, divergence=how)


def resolve_job(overrides: Sequence[str], compose: Composer) -> Job:
    """A job, with the record that its config leads to.

    Raises:
        UserError: if its config cannot be composed.
    """
    composed = compose(overrides)
    checked_config(composed)
    directory = Path(composed.outputs) / record_path(composed)
    return Job(tuple(overrides), label_of(experiment_name(composed), overrides), directory, composed.force)
