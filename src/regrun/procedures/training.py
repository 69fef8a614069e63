"""The procedure of almost every run: train with Lightning."""

from __future__ import annotations

import logging
import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from regrun.data.base import Dataset
from regrun.errors import UserError, one_line
from regrun.probes.base import Probe
from regrun.procedures.base import Context, Description, StoppedError
from regrun.regularizers.base import Regularizer
from regrun.tasks.supervised import Supervised


class SupervisedTraining:
    """Trains a model on a dataset for a number of optimization steps.

    Args:
        dataset: the task.
        model: builds the network from ``inputs`` and ``classes``.
        optimizer: builds the optimizer from ``(name, parameter)`` pairs.
        schedule: builds the learning-rate factor from ``steps``; ``None`` for a constant rate.
        regularizers: by name, in the order in which they act.
        probes: by name.
        steps: optimization steps.
        eval_every: steps between evaluations; there is one before the first step and one after the last.
        batch_size: samples per step over all devices, ``None`` for the full batch.

    """

    def __init__(
        self,
        dataset: Dataset,
        model: Callable[..., nn.Module],
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Callable[..., Callable[[int], float]] | None,
        regularizers: Mapping[str, Regularizer],
        probes: Mapping[str, Probe],
        steps: int,
        eval_every: int,
        batch_size: int | None = None,
    ) -> None:
        if steps < 1 or eval_every < 1:
            raise ValueError(f"steps and eval_every must be at least 1, got {steps} and {eval_every}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, or null for the full batch, got {batch_size}")
        self.dataset = dataset
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.regularizers = regularizers
        self.probes = probes
        self.steps = steps
        self.eval_every = eval_every
        self.batch_size = batch_size

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and return the metrics of the last evaluation."""
        splits = self.dataset.load(context.data_dir, context.seed)
        seed_generators(context.seed)
        final: dict[str, float] = {}

        def report(step: int, metrics: dict[str, float]) -> None:
            final.clear()
            final.update(metrics)
            context.log(step, metrics)

        task = Supervised(
            self.model(inputs=self.dataset.inputs, classes=self.dataset.classes),
            self.dataset,
            splits,
            self.optimizer,
            self.schedule(steps=self.steps) if self.schedule else None,
            self.regularizers,
            self.probes,
            self.eval_every,
            self.batch_size,
            context.seed,
            report,
        )
        trainer = make_trainer(
            context.trainer, self.steps, self.eval_every, [Interruptible(context), Progress(context)]
        )
        saved = context.saved_state
        resume_step = check_checkpoint(saved) if saved is not None else None
        context.begin(
            Description(
                steps=self.steps,
                device=describe_device(trainer),
                precision=str(trainer.precision),
                sizes={
                    "train samples": len(splits.train),
                    "test samples": len(splits.test),
                    "parameters": sum(p.numel() for p in task.model.parameters()),
                },
                data_fingerprint=splits.fingerprint(),
                resume_step=resume_step,
                is_main_process=trainer.is_global_zero,
            )
        )
        with quiet_lightning():
            trainer.fit(task, ckpt_path=saved)
            if self.steps % self.eval_every:
                trainer.validate(task, verbose=False)
        return dict(final)


class Interruptible(pl.Callback):
    """Saves the run's state now and then, and at once when asked to stop.

    Args:
        context: says where to, how often, and whether to stop.

    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Take SIGTERM back from Lightning, which would end the run without saving it."""
        self.context.stop.listen()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        """Heed a stop request, unless an evaluation comes first: it would be missing after the resume."""
        if self.context.stop.requested and trainer.global_step % pl_module.eval_every:
            pl_module.check_losses()
            self.stop(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save, if the last time is long enough ago; heed a stop request."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        due = time.monotonic() - self.saved_at >= self.context.checkpoint_seconds
        if self.context.stop.requested:
            self.stop(trainer)
        elif trainer.strategy.broadcast(due):
            self.save(trainer)

    def stop(self, trainer: pl.Trainer) -> None:
        """Save and stop, unless there is nothing left to do."""
        if trainer.global_step < trainer.max_steps:
            self.save(trainer)
            raise StoppedError

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Keep the final state."""
        pl_module.check_losses()
        self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint beside its place, then move it there: never half a file."""
        target = self.context.checkpoint
        partial = target.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            partial.replace(target)
        trainer.strategy.barrier()
        self.saved_at = time.monotonic()


class Progress(pl.Callback):
    """Moves the progress bar a few times a second; reading a loss more often would stall a GPU."""

    def __init__(self, context: Context) -> None:
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
    """A Trainer that counts in steps, evaluates before the first one, and does nothing it was not asked.

    Raises:
        UserError: if the machine lacks the accelerator.

    """
    try:
        with quiet_lightning():
            return pl.Trainer(
                **arguments,
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
            )
    except Exception as error:
        raise UserError(
            f"this machine cannot run the chosen trainer: {one_line(error)} "
            "(trainer=cpu needs nothing; regrun doctor says what is here)"
        ) from error


def check_checkpoint(path: Path) -> int:
    """The step at which a checkpoint was taken.

    Raises:
        UserError: if the file cannot be read.

    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return int(checkpoint["global_step"])
    except Exception as error:
        raise UserError(
            f"the checkpoint {path} cannot be read ({type(error).__name__}); "
            "start the run over with force=true"
        ) from error


def seed_generators(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def describe_device(trainer: pl.Trainer) -> str:
    """The devices of a trainer, in words."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        words = torch.cuda.get_device_name(device)
    else:
        words = f"{device.type}, {torch.get_num_threads()} threads"
    return words if trainer.world_size == 1 else f"{trainer.world_size} × {words}"


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning from advertising, and from warning of what is meant.

    Our data have no workers to add, our streams no length, and our loggers are our own.
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
