"""One run, from its config to its record."""

from __future__ import annotations

import os
import shlex
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regrun.config.environment_values import check_secrets
from regrun.config.identity import fingerprint
from regrun.console import Display, complain
from regrun.contracts.procedure import Description, Procedure, Stage
from regrun.contracts.stopping import StoppedError, StopRequest
from regrun.errors import UserError, naming_full_disks, one_line
from regrun.loggers.base import Logger, RunInfo
from regrun.memory import too_large
from regrun.records.damage import DamagedError
from regrun.records.record import Record, RecordBusyError, Status
from regrun.runs.building import build
from regrun.runs.environment import describe_environment
from regrun.runs.origin import origin
from regrun.runs.provenance import Part, changes, part_of, stage_parts, with_part

STOP = StopRequest()  # one per process: a worker that was asked to stop starts no further run


class Run:
    """A run in progress; the ``Context`` of its procedure.

    Args:
        config: the resolved config.
        experiment: the experiment's name.
        arm: the arm's name.
        overrides: the task overrides it was requested with.
        config_dirs: folders of the user's own configs.
        directory: the record.
        display: progress output.
    """

    def __init__(
        self,
        config: dict[str, Any],
        experiment: str,
        arm: str,
        overrides: list[str],
        config_dirs: list[str],
        directory: Path,
        display: Display,
    ) -> None:
        self.config = config
        self.experiment = experiment
        self.arm = arm
        self.overrides = overrides
        self.config_dirs = config_dirs
        self.display = display
        self.record = Record(directory)
        self.seen = self.record.seen()
        self.identity = fingerprint(config)
        check_secrets([config, overrides])
        self.loggers: list[Logger] = []
        self.is_main_process = is_first_process()
        self.begun = False
        self.computed_by: list[Part] = []  # stages first
        self.notes: list[str] = []

        self.seed: int = config["seed"]
        self.scale = str(config["scale"])
        self.data_dir = Path(config["data_dir"])
        self.trainer: Mapping[str, Any] = {k: v for k, v in config["trainer"].items() if k != "threads"}
        self.checkpoint = self.record.checkpoint.absolute()
        self.checkpoint_seconds = float(config["checkpoint_seconds"])
        self.skip_probes = config["probe_errors"] == "skip"
        self.stop = STOP

    def is_complete(self) -> bool:
        """Whether the run is complete already; prints the results if so.

        Raises:
            DamagedError: if the record is damaged.
        """
        if self.config["force"]:
            return False
        self.record.check_whole()
        if self.record.status is not Status.COMPLETE:
            return False
        self.display.note(f"already complete: {self.record.directory} (force=true runs it again)")
        if line := origin(self.config, self.record.manifest()):
            self.display.note(line)
        self.display.results(self.record.final_metrics(), self.record.directory)
        return True

    def execute(self, procedure: Procedure | None = None) -> None:
        """Do the remaining work.

        Args:
            procedure: built from the config if not given.

        Raises:
            UserError: for a user's mistake.
            StoppedError: if interrupted, with the record updated.
        """
        if STOP.requested:
            raise StoppedError
        with naming_full_disks():
            if procedure is None:
                procedure, self.loggers = build(self.config)
            try:
                metrics = procedure(self)
                self.complete(metrics)
            except BaseException as error:
                raise self.abandon(error) from error
        self.display.results(metrics, self.record.directory)

    def complete(self, metrics: dict[str, float]) -> None:
        """Close the loggers and write the result, after the procedure has returned."""
        self.display.stop()
        for logger in self.loggers:
            logger.finish(Status.COMPLETE.value, metrics)
        if self.is_main_process:
            self.record.finish(metrics)

    def abandon(self, error: BaseException) -> BaseException:
        """Leave the record unfinished after an exception; returns the error for the user."""
        self.display.stop()
        error = too_large(error) or error
        # Lightning exits on a KeyboardInterrupt.
        stopped = isinstance(error, StoppedError | KeyboardInterrupt | SystemExit)
        if not self.begun and isinstance(error, ValueError):
            return UserError(one_line(error))
        if not self.begun or not self.is_main_process:
            return StoppedError() if stopped else error
        status = Status.INTERRUPTED if stopped else Status.FAILED
        try:
            if not stopped and not isinstance(error, UserError | OSError):
                text = "".join(traceback.format_exception(error))
                self.record.traceback_file.write_text(text)
            for logger in self.loggers:
                logger.finish(status.value, {})
        finally:
            self.record.stop(status, "interrupted" if stopped else one_line(error))
        return StoppedError() if stopped else error

    # ------------------------------------------------- what a procedure asks

    @property
    def saved_state(self) -> Path | None:
        """The checkpoint to resume from, unless the run starts over."""
        return self.checkpoint if self.checkpoint.exists() and not self.config["force"] else None

    def begin(self, description: Description) -> None:
        """Open the record, start the loggers, print the header."""
        if not description.is_main_process:
            self.is_main_process = False
            return
        earlier = {} if self.config["force"] else self._look_back(description)
        step = description.resume_step
        self.computed_by += with_part(
            earlier, part_of(self.config["procedure"], -1 if step is None else step)
        )
        self.notes = list(description.notes)
        self._note_changes()
        self.record.begin(
            {
                "identity": self.identity,
                "experiment": self.experiment,
                "arm": self.arm,
                "seed": self.seed,
                "scale": self.scale,
                "overrides": self.overrides,
                "command": command_line(self.overrides, self.config_dirs),
                "steps": description.steps,
                "device": description.device,
                "precision": description.precision,
                "sizes": dict(description.sizes),
                "data_fingerprint": description.data_fingerprint,
                "data_dir": str(self.data_dir.absolute()),
                "notes": self.notes,
                "environment": describe_environment(),
                "computed_by": self.computed_by,
            },
            self.config,
            description.resume_step,
            self.seen,
            description.sharers,
            description.recorded,
        )
        self.begun = True
        facts = {
            "seed": f"{self.seed}    scale {self.scale}    steps {description.steps}",
            "device": f"{description.device}    precision {description.precision}",
            "record": str(self.record.directory),
        }
        if description.sizes:
            facts["sizes"] = "    ".join(f"{n:,} {what}" for what, n in description.sizes.items())
        if description.notes:
            facts["data"] = "; ".join(description.notes)
        if description.resume_step is not None:
            facts["resumes"] = f"after step {description.resume_step}"
        self.display.header(f"{self.experiment} · {self.arm}", facts)
        self._start_loggers()
        title = f"{self.experiment} {self.arm} seed {self.seed}"
        self.display.start(title, description.steps, description.resume_step or 0)

    def _look_back(self, description: Description) -> dict[str, Any]:
        """The earlier content of ``run.json``.

        Raises:
            DamagedError: if the record is damaged.
            UserError: if the run would resume with other data.
        """
        self.record.check()
        earlier = self.record.manifest()
        if description.resume_step is None:
            return earlier
        if not earlier:
            raise DamagedError(self.record.manifest_file, "it is missing, and there is a checkpoint")
        if earlier.get("data_fingerprint", "") != description.data_fingerprint:
            raise UserError(
                f"the data have changed since {self.record.directory} was begun; "
                "force=true starts it over with the new data"
            )
        return earlier

    def _note_changes(self) -> None:
        """Report and record it if several versions of the code have computed the run."""
        for line in changes(self.computed_by):
            if line not in self.notes:
                self.notes.append(line)
                complain(f"{self.record.directory}: {line}")

    def _start_loggers(self) -> None:
        info = RunInfo(
            self.identity,
            self.experiment,
            self.arm,
            self.seed,
            self.scale,
            self.config,
            self.record.directory.absolute(),
            self.record.history(),
        )
        for logger in self.loggers:
            if line := logger.start(info):
                self.display.note(f"logging to {line}")

    def stage(self, name: str, procedure: Procedure) -> Stage:
        """Run a part that other runs share, or return it if done; see ``Context``."""
        from regrun.data.generators import untouched_generators

        config = {**self.config, "procedure": self.config["procedure"][name], "logger": {}, "force": False}
        directory = Path(config["outputs"]) / "stages" / f"seed{self.seed}-{fingerprint(config)}"
        if self.config["force"]:  # an intact stage is kept: other runs use it, too
            config["force"] = Record(directory).is_damaged()
        while True:
            part = Run(
                config,
                self.experiment,
                f"stage {name}",
                self.overrides,
                self.config_dirs,
                directory,
                Display(silent=True),
            )
            record = part.record
            if not config["force"]:
                record.check_whole()
            if record.status is Status.COMPLETE and record.checkpoint.exists() and not config["force"]:
                return self._found(record)
            try:
                with untouched_generators():
                    part.execute(procedure)
            except RecordBusyError:
                self._wait_for(record)
            config["force"] = False

    def _found(self, record: Record) -> Stage:
        """A completed stage; records which code computed it."""
        manifest = record.manifest()
        self.computed_by[:0] = stage_parts(manifest, str(record.directory))
        if self.begun:
            self._note_changes()
            self.record.amend(computed_by=self.computed_by, notes=self.notes)
        curves = {name: dict(zip(*columns, strict=True)) for name, columns in record.curves().items()}
        return Stage(
            record.checkpoint,
            record.final_metrics(),
            curves,
            record.directory,
            manifest.get("data_fingerprint", ""),
        )

    def _wait_for(self, record: Record) -> None:
        while record.is_locked():
            if STOP.requested:
                raise StoppedError
            time.sleep(0.2)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics at a step."""
        if not self.begun or not self.record.log(step, metrics):
            return
        for logger in self.loggers:
            logger.log(step, metrics)
        self.display.evaluated(metrics)

    def recorded(self) -> dict[str, Any]:
        """A summary of what has been logged; see ``Context``. Empty in processes that do not record."""
        return self.record.recorded() if self.begun else {}

    def show(self, step: int, loss: float) -> None:
        """Move the progress bar."""
        self.display.show(step, loss)


def is_first_process() -> bool:
    """Whether this process records and prints; the others of a distributed run only compute.

    Lightning or Slurm starts those processes, and Slurm numbers them itself.
    """
    numbers = (("LOCAL_RANK", "SLURM_LOCALID"), ("NODE_RANK", "SLURM_NODEID"))
    return all(int(os.environ.get(own, os.environ.get(slurms, "0"))) == 0 for own, slurms in numbers)


def command_line(overrides: list[str], folders: list[str]) -> str:
    """The command that repeats or resumes the run: without ``force``, which would start over."""
    asked = [override for override in overrides if not override.startswith("force=")]
    return shlex.join(["regrun", *(w for f in folders for w in ("--config-dir", f)), *asked])
