"""What a run does, and the context that it is called with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from regrun.contracts.stopping import StopRequest


class Context(Protocol):
    """The run, as a procedure sees it.

    Attributes:
        identity: the run's fingerprint.
        seed: seed of all randomness.
        data_dir: folder of the data files.
        trainer: Lightning ``Trainer`` arguments: accelerator, devices, precision, strategy, ...
        checkpoint: file to save the state in.
        checkpoint_seconds: least time between saves, in seconds.
        skip_probes: whether to leave out probes that cannot measure the model, instead of raising.
        stop: the stop request, to be checked between steps.
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
        """Open the record, start the loggers and print the header, once everything is built and checked.

        Nothing is written to disk before this call. Call it once.
        """

    def stage(self, name: str, procedure: Procedure) -> Stage:
        """Run a part that other runs share, or return it if it is already done.

        A stage is identified by its config, the seed and the precision; five arms that prune the same trained
        network train it once, in however many processes. Its record lies in ``outputs/stages``. May be called
        before or after ``begin``.

        Args:
            name: the parameter of this procedure that holds ``procedure``.
            procedure: the procedure to run.

        Raises:
            StoppedError: after heeding ``stop``.
        """

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics at a step. Steps must increase; a step already recorded is ignored."""

    def recorded(self) -> dict[str, Any]:
        """A short summary of what has been logged so far, to be saved with each state.

        The log is flushed to disk before this returns, so a saved state never refers to lost metrics.
        """

    def show(self, step: int, loss: float) -> None:
        """Move the progress bar."""


@dataclass(frozen=True)
class Description:
    """A procedure about to start.

    Attributes:
        steps: number of steps.
        device: name of the device.
        precision: floating-point format, as Lightning names it.
        sizes: numbers for the header, by name.
        data_fingerprint: hash of the data; empty if there are none.
        notes: remarks on the data for the header.
        resume_step: the step of the saved state to resume from; later log entries are discarded.
        recorded: the result of ``Context.recorded`` at that save; the record must still hold it.
        is_main_process: whether this process records and prints.
        sharers: number of runs computed together, which share the elapsed time.
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
    """A completed stage.

    Attributes:
        checkpoint: the final state.
        metrics: its final metrics.
        curves: everything it logged: values by step, by name.
        directory: the stage's record.
        data_fingerprint: hash of the data it was computed from; empty if there are none.
    """

    checkpoint: Path
    metrics: Mapping[str, float]
    curves: Mapping[str, Mapping[int, float]]
    directory: Path
    data_fingerprint: str = ""


class Procedure(Protocol):
    """What a run executes: constructed from the config, called once.

    Attributes:
        metrics: names of what it logs and returns; ``name`` also covers the parts ``name/...``. Claims are
            checked against them before anything runs.
    """

    @property
    def metrics(self) -> Collection[str]:
        """See the class."""

    def __call__(self, context: Context) -> dict[str, float]:
        """Run, and return the final metrics.

        Raises:
            ValueError: before ``context.begin``, for a user's mistake.
            StoppedError: after a stop request, with the state saved.
        """
