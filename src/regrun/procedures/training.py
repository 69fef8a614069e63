"""The procedure of almost every run: training with Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from regrun.contracts.procedure import Context, Description
from regrun.contracts.samples import Splits
from regrun.data.base import Dataset
from regrun.data.generators import seed_generators
from regrun.errors import one_line
from regrun.losses.base import ClassificationLoss
from regrun.probes.base import Probe
from regrun.procedures.attaching import attach_probes, check_parts, check_splits
from regrun.procedures.lost_processes import naming_lost_processes
from regrun.procedures.trainer import (
    Interruptible,
    Progress,
    SavedState,
    describe_device,
    fit,
    make_trainer,
    quiet_lightning,
    read_checkpoint,
    saved_state,
)
from regrun.records.damage import DamagedError
from regrun.regularizers.base import Regularizer
from regrun.tasks.sharding import FullySharded
from regrun.tasks.supervised import Supervised, evaluated, in_double_precision


class SupervisedTraining:
    """Trains a model on a dataset for a number of optimization steps.

    Args:
        dataset: the dataset.
        model: builds the network from ``inputs`` and ``classes``.
        optimizer: builds the optimizer from ``(name, parameter)`` pairs.
        schedule: builds the learning-rate factor from ``steps``, or returns ``None`` for a constant rate.
        augmentations: by name, in order; applied to the stored inputs of whole training batches.
        regularizers: by name, in order; a classification loss replaces the dataset's.
        probes: by name.
        steps: number of optimization steps.
        eval_every: steps between evaluations, which also precede the first step and follow the last.
        batch_size: samples per step over all devices; ``None`` for full batches.
        eval_train_samples: number of evenly spaced train samples to evaluate; ``None`` for all. The other
            splits are evaluated whole.
    """

    def __init__(
        self,
        dataset: Dataset,
        model: Callable[..., nn.Module],
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Callable[..., Callable[[int], float] | None],
        augmentations: Mapping[str, nn.Module],
        regularizers: Mapping[str, Regularizer | ClassificationLoss],
        probes: Mapping[str, Probe],
        steps: int,
        eval_every: int,
        batch_size: int | None = None,
        eval_train_samples: int | None = None,
    ) -> None:
        if steps < 1 or eval_every < 1:
            raise ValueError(f"steps and eval_every must be at least 1, got {steps} and {eval_every}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, or null for the full batch, got {batch_size}")
        if eval_train_samples is not None and eval_train_samples < 1:
            raise ValueError(
                f"eval_train_samples must be at least 1, or null for all, got {eval_train_samples}"
            )
        self.dataset = dataset
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.augmentations = augmentations
        self.regularizers = regularizers
        self.probes = probes
        self.steps = steps
        self.eval_every = eval_every
        self.batch_size = batch_size
        self.eval_train_samples = eval_train_samples

    @property
    def metrics(self) -> list[str]:
        """The metrics of an evaluation: the task's own and the probes'."""
        return [
            *evaluated(self.dataset),
            *(name for probe in self.probes.values() for name in probe.metrics),
        ]

    def build(self, splits: Splits, seed: int, report: Callable[[int, dict[str, float]], None]) -> Supervised:
        """The task, before training.

        Args:
            splits: the dataset's samples.
            seed: seed of the shuffling; the caller seeds the generators.
            report: called at each evaluation.
        """
        return Supervised(
            self.model(inputs=self.dataset.inputs, classes=self.dataset.classes),
            self.dataset,
            splits,
            self.optimizer,
            self.schedule(steps=self.steps),
            self.augmentations,
            self.regularizers,
            self.probes,
            self.eval_every,
            self.eval_train_samples,
            self.batch_size,
            seed,
            report,
        )

    def restore(self, checkpoint: Path, splits: Splits) -> Supervised:
        """The task after training.

        Args:
            checkpoint: checkpoint of the training.
            splits: the dataset's samples.

        Raises:
            DamagedError: if the checkpoint is unreadable, or belongs to another model.
        """
        task = self.build(splits, 0, lambda step, metrics: None)
        state = read_checkpoint(checkpoint)["state_dict"]
        if in_double_precision(state):
            task.double()  # before loading, which would round
        prefix = "model."
        weights = {name.removeprefix(prefix): w for name, w in state.items() if name.startswith(prefix)}
        try:
            task.model.load_state_dict(weights)
        except RuntimeError as error:
            raise DamagedError(checkpoint, f"its weights are of another model: {one_line(error)}") from error
        return task

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and return the metrics of the last evaluation."""
        splits = self.dataset.load(context.data_dir, context.seed)
        seed_generators(context.seed)
        final: dict[str, float] = {}

        def report(step: int, metrics: dict[str, float]) -> None:
            final.clear()
            final.update(metrics)
            context.log(step, metrics)

        task = self.build(splits, context.seed, report)
        saved = saved_state(context.saved_state)
        watch = Interruptible(context)
        trainer = make_trainer(context.trainer, self.steps, self.eval_every, [watch, Progress(context)])
        sharded = isinstance(trainer.strategy, FullySharded)
        if sharded:
            check_splits(task)
        check_parts(task)
        check_shares(len(splits.train), self.batch_size, trainer.world_size)
        left_out = attach_probes(task, str(trainer.precision), context.skip_probes, sharded)
        context.begin(describe(task, trainer, left_out, saved, saved.recorded if saved is not None else None))
        with quiet_lightning():
            fit(trainer, task, saved, watch)
            if self.steps % self.eval_every:
                with naming_lost_processes():
                    trainer.validate(task, verbose=False)
        return dict(final)


def describe(
    task: Supervised,
    trainer: pl.Trainer,
    left_out: Sequence[str],
    saved: SavedState | None,
    recorded: Mapping[str, Any] | None,
) -> Description:
    """The description of a training about to start.

    Args:
        task: the task, with its probes attached.
        trainer: a trainer with the number of steps.
        left_out: reasons for probes that were left out.
        saved: the checkpoint to resume from.
        recorded: summary of the log at that checkpoint.
    """
    return Description(
        steps=trainer.max_steps,
        device=describe_device(trainer),
        precision=str(trainer.precision),
        sizes={**task.splits.sizes, "parameters": sum(p.numel() for p in task.model.parameters())},
        data_fingerprint=task.splits.fingerprint(),
        notes=(*task.splits.notes, *left_out, *by_shares(task, trainer.world_size)),
        resume_step=None if saved is None else saved.step,
        recorded=recorded,
        is_main_process=trainer.is_global_zero,
    )


def by_shares(task: Supervised, ranks: int) -> list[str]:
    """A note on parts that act within each process's share of a batch, if batches are shared."""
    parts = [name for name, part in task.regularizers.items() if part.couples]
    parts += sorted({type(m).__name__ for m in task.model.modules() if isinstance(m, _BatchNorm)})
    return [f"within each process's share of a batch: {', '.join(parts)}"] if parts and ranks > 1 else []


def check_shares(samples: int, batch_size: int | None, ranks: int) -> None:
    """Raise ``ValueError`` if a batch has fewer samples than processes."""
    size = min(batch_size or samples, samples)
    smallest = samples % size or size
    if smallest < ranks:
        raise ValueError(
            f"the smallest batch of an epoch has {smallest} of {samples} samples, too few for {ranks} "
            "processes; choose another batch_size"
        )
