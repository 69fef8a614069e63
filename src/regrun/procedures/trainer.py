"""Lightning's Trainer, configured to count steps, be interruptible, and stay quiet."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import torch

from regrun.contracts.stopping import StoppedError, StopRequest
from regrun.errors import UserError, one_line
from regrun.plural import count
from regrun.procedures.lost_processes import be_patient, naming_lost_processes
from regrun.records.damage import DamagedError
from regrun.records.files import put_in_place
from regrun.tasks.sharding import FullySharded

NEEDED = ("state_dict", "optimizer_states", "lr_schedulers", "loops", "global_step")  # needed for resuming
ENDED = "weights_only"  # key that marks the final state of a stacked run
AGREE_EVERY = 20  # steps between exchanges of stop requests among a run's processes


class Course(Protocol):
    """The context of a training, of one run or of several that are stacked; see ``Context``."""

    checkpoint: Path
    checkpoint_seconds: float
    stop: StopRequest

    def show(self, step: int, loss: float) -> None:
        """Move the progress bar."""

    def recorded(self) -> Any:
        """A summary of what has been logged, flushed to disk; becomes part of the checkpoint."""


class Interruptible(pl.Callback):
    """Saves the run's state at intervals, and at once on a stop request.

    Args:
        context: gives the file, the interval and the stop request.
    """

    def __init__(self, context: Course) -> None:
        self.context = context
        self.saved_at = time.monotonic()
        self.trains = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Take SIGTERM back from Lightning, which would end the run without saving."""
        self.trains = True
        self.context.stop.listen()

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Store a summary of the log in the checkpoint."""
        checkpoint["recorded"] = self.context.recorded()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Heed a stop request, unless an evaluation comes first, which a resumed run would skip."""
        step = trainer.global_step
        if (trainer.world_size > 1 and step % AGREE_EVERY) or not step % pl_module.eval_every:
            return
        if self.asked(trainer):
            pl_module.check_losses()
            self.stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save if the interval has passed; heed a stop request."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        due = time.monotonic() - self.saved_at >= self.context.checkpoint_seconds
        if self.asked(trainer):
            self.stop(trainer)
        elif trainer.strategy.broadcast(due):
            self.save(trainer)

    def asked(self, trainer: pl.Trainer) -> bool:
        """Whether any process of the run has been asked to stop."""
        mine = self.context.stop.requested
        return mine if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(mine, all=False)

    def stop(self, trainer: pl.Trainer) -> None:
        """Save and stop, unless training is complete."""
        if trainer.global_step < trainer.max_steps:
            self.save(trainer)
            raise StoppedError

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save the final state."""
        pl_module.check_losses()
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint atomically."""
        target = self.context.checkpoint
        partial = target.with_suffix(".partial")
        try:
            trainer.save_checkpoint(partial)
            if trainer.is_global_zero:
                put_in_place(partial, target)
        except BaseException:  # a full disk, or a second Ctrl-C
            if trainer.is_global_zero:
                partial.unlink(missing_ok=True)
            raise
        trainer.strategy.barrier()
        self.saved_at = time.monotonic()


class Progress(pl.Callback):
    """Updates the progress bar a few times a second; reading losses more often would stall a GPU."""

    def __init__(self, context: Course) -> None:
        self.context = context
        self.shown_at = 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, *args: Any) -> None:
        """Show the step and its loss."""
        now = time.monotonic()
        if now - self.shown_at > 0.2:
            self.shown_at = now
            self.context.show(trainer.global_step, float(outputs["loss"]))


def make_trainer(
    arguments: Mapping[str, Any], steps: int, eval_every: int, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """A Trainer that counts steps, evaluates before the first one, and has no other defaults.

    Raises:
        UserError: if the accelerator is missing.
    """
    be_patient()
    try:
        with quiet_lightning():
            return pl.Trainer(
                **{
                    **arguments,
                    "precision": chosen_precision(arguments),
                    "strategy": FullySharded() if arguments["strategy"] == "fsdp" else arguments["strategy"],
                },
                max_steps=steps,
                max_epochs=-1,
                val_check_interval=eval_every,
                check_val_every_n_epoch=None,
                num_sanity_val_steps=-1,
                callbacks=callbacks,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                inference_mode=False,  # probes need gradients
            )
    except Exception as error:
        raise UserError(
            f"this machine cannot run the chosen trainer: {one_line(error)} "
            "(trainer=cpu needs nothing; regrun doctor says what is here)"
        ) from error


def chosen_precision(arguments: Mapping[str, Any]) -> str:
    """The requested precision; ``auto`` is bfloat16 autocast if the hardware supports it.

    Do not use ``auto`` in experiments on numerical precision. The record states the choice.
    """
    precision = str(arguments["precision"])
    if precision != "auto":
        return precision
    if arguments["accelerator"] in ("gpu", "cuda"):
        fits = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fits = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16-mixed" if fits else "32-true"


@dataclass(frozen=True)
class SavedState:
    """A checkpoint to resume from.

    Attributes:
        path: the file.
        step: its step.
        recorded: summary of the log at that step; ``None`` in checkpoints of earlier versions.
    """

    path: Path
    step: int
    recorded: Any


def saved_state(path: Path | None) -> SavedState | None:
    """Read a checkpoint, if there is one and its run has not ended.

    Raises:
        DamagedError: if it is unreadable, or not a training checkpoint.
    """
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    if ENDED in checkpoint:
        return None
    if missing := [key for key in NEEDED if key not in checkpoint]:
        raise DamagedError(path, f"it is no checkpoint to go on from: {', '.join(missing)} are missing")
    return SavedState(path, int(checkpoint["global_step"]), checkpoint.get("recorded"))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, memory-mapped.

    Raises:
        DamagedError: if it is unreadable, or has no weights.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise DamagedError(path, f"it cannot be read ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise DamagedError(path, "it has no weights")
    return checkpoint


def fit(
    trainer: pl.Trainer, task: pl.LightningModule, saved: SavedState | None, watch: Interruptible
) -> None:
    """Train from the beginning or from a checkpoint.

    Args:
        trainer: a trainer whose callbacks include ``watch``.
        task: the task to train.
        saved: the checkpoint to resume from.
        watch: the callback that knows whether training has begun.

    Raises:
        DamagedError: if the checkpoint belongs to another model or version.
        LostProcessError: if another process has died.
    """
    try:
        with naming_lost_processes():
            trainer.fit(task, ckpt_path=saved.path if saved is not None else None)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        if saved is None or watch.trains or isinstance(error, torch.OutOfMemoryError):
            raise
        raise DamagedError(
            saved.path, f"it is of another model or another version ({one_line(error)[:160]})"
        ) from error


def describe_device(trainer: pl.Trainer) -> str:
    """The devices of a trainer, in words."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        words = torch.cuda.get_device_name(device)
    else:
        words = f"{device.type}, {count(torch.get_num_threads(), 'thread')}"
    return words if trainer.world_size == 1 else f"{trainer.world_size} × {words}"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advertisements and warnings on intended settings.

    The data need no workers, streams have no length, and loggers are regrun's own.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
