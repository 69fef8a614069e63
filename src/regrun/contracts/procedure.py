"""What a run does, and what it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from regrun.contracts.stopping import StopRequest


class Context(Protocol):
    """What a procedure may ask of the run it is part of.

    Attributes:
        identity: its fingerprint.
        seed: of all randomness.
        data_dir: where data files lie.
        trainer: Lightning ``Trainer`` arguments: accelerator, devices, precision, strategy, ...
        checkpoint: where the procedure saves its state.
        checkpoint_seconds: how often, at most, it saves.
        skip_probes: whether probes that cannot measure the model are left out, rather than an error.
        stop: to be looked at between steps.
    """

    identity: str
    seed: int
    data_dir: Path
    trainer: Mapping[str, Any]
    checkpoint: Path
    checkpoint_seconds: float
    skip_probes: bool
    stop: StopRequest

    @property
    def saved_state(self) -> Path | None:
        """The checkpoint to resume from, if there is one."""

    def begin(self, description: Description) -> None:
        """Everything is built and checked: open the record, start the loggers, print the header.

        Nothing is on disk before this call. Call it once.
        """

    def stage(self, name: str, procedure: Procedure) -> Stage:
        """Run a part of the procedure that other runs share, or find it already done.

        A stage is found by the fingerprint of its own config, the seed and the precision: five arms that
        prune the same trained network train it once, whichever comes first, in however many processes. Its
        record lies beside the runs, in ``outputs/stages``. May be called before or after ``begin``.

        Args:
            name: the parameter of this procedure that holds ``procedure``.
            procedure: what to run.

        Raises:
            StoppedError: after heeding ``stop``.
        """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics at a step. Steps only grow; a step already recorded is ignored."""

    def recorded(self) -> dict[str, Any]:
        """What has been logged so far, in a few numbers: to be part of each state that is saved.

        It is safe on the disk when this returns, so that a state never counts on what is lost.
        """

    def show(self, step: int, loss: float) -> None:
        """Move the progress bar."""


@dataclass(frozen=True)
class Description:
    """What a procedure is about to do.

    Attributes:
        steps: how many steps it has.
        device: where it computes, in words.
        precision: the floating-point format, in words.
        sizes: numbers worth a line in the header, by name.
        data_fingerprint: a hash of the data; empty where there are none.
        notes: what is worth a line about the data.
        resume_step: the step of the saved state the run goes on from; what was logged later is forgotten.
        recorded: what ``Context.recorded`` gave when that state was saved; the record must still hold it.
        is_main_process: whether this process is the one that records and prints.
        sharers: how many runs are done at once, and share the time that it takes.
    """

    steps: int
    device: str = "cpu"
    precision: str = "32-true"
    sizes: Mapping[str, int] = field(default_factory=dict)
    data_fingerprint: str = ""
    notes: Sequence[str] = ()
    resume_step: int | None = None
    recorded: Mapping[str, Any] | None = None
    is_main_process: bool = True
    sharers: int = 1


@dataclass(frozen=True)
class Stage:
    """A part of a procedure that has been done.

    Attributes:
        checkpoint: the state it ended with.
        metrics: its final metrics.
        curves: all it logged: values by step, by name.
        directory: its record.
        data_fingerprint: a hash of the data that it was computed from; empty where there are none.
    """

    checkpoint: Path
    metrics: Mapping[str, float]
    curves: Mapping[str, Mapping[int, float]]
    directory: Path
    data_fingerprint: str = ""


class Procedure(Protocol):
    """Something a run can execute: constructed from the config, called once.

    Attributes:
        metrics: the names of what it logs and returns; ``name`` stands for its parts ``name/...``, too.
            Claims are checked against them before anything runs.
    """

    @property
    def metrics(self) -> Collection[str]:
        """See the class."""

    def __call__(self, context: Context) -> dict[str, float]:
        """Do it, and return the final metrics.

        Raises:
            ValueError: before ``context.begin``, for what the user can mend.
            StoppedError: after heeding ``context.stop``.
        """
