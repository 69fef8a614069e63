"""Supervised learning as a LightningModule."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from regrun.contracts.batch import Batch
from regrun.contracts.inputs import Images, InputSpec
from regrun.contracts.output import as_output
from regrun.contracts.probability_map import ProbabilityMap
from regrun.contracts.samples import Splits
from regrun.contracts.task import Step
from regrun.data.base import Dataset
from regrun.data.generators import generator_states, seed_generators, set_generators
from regrun.data.stream import BatchList, BatchStream
from regrun.errors import TrainingDivergedError
from regrun.losses.base import ClassificationLoss
from regrun.probability_maps.softmax import Softmax
from regrun.probes.base import Probe
from regrun.regularizers.base import Regularizer, overrides
from regrun.regularizers.loss import Loss, loss_among
from regrun.regularizers.ranks import average_gradients
from regrun.regularizers.shards import is_split
from regrun.tasks.sharding import shard

IN_MODEL = re.compile(r"(tasks\.\d+\.)?model\.")
EVALUATION_BATCH = 16_384
MOST_LOGITS = 4_194_304  # of an evaluation's batch
EVALUATION_BATCH_OF_IMAGES = 1000  # images, whose intermediate results are many times their size


class Supervised(pl.LightningModule):
    """Minimizes a loss, with regularizers at their hooks and probes at evaluations.

    The dataset's criterion defines the loss, unless a regularizer replaces it. An evaluation covers all
    splits and reports the criterion's scores of each, ``train_loss``, ``test_accuracy``, ... (in float64,
    whatever the training precision), ``loss`` (the objective of the last step, penalties included) and the
    probes' metrics. With a validation split, it also reports that split's scores and
    ``early_stopped_test_accuracy``, the test accuracy at the evaluation with the best validation accuracy so
    far (or ``early_stopped_test_loss``, if there is no accuracy).

    Args:
        model: the network; returns logits or an ``Output``.
        dataset: the dataset.
        splits: the samples.
        make_optimizer: builds the optimizer from ``(name, parameter)`` pairs.
        schedule: learning-rate factor as a function of the step; ``None`` for a constant rate.
        augmentations: by name, in order; change the stored inputs of training batches.
        components: regularizers by name, in order; a classification loss among them replaces the criterion's.
        probes: by name.
        eval_every: steps between evaluations.
        eval_train_samples: number of train samples to evaluate; ``None`` for all.
        batch_size: samples per step; ``None`` for full batches.
        seed: seed of the shuffling.
        report: called at each evaluation with the step and the metrics.

    Raises:
        ValueError: if two regularizers replace the loss, if it cannot be taken of the targets they make, or
            if a split has labels of classes that do not exist.
    """

    softmax: Softmax
    best: Tensor  # of the validation and test split, if there is a validation split

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        splits: Splits,
        make_optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Callable[[int], float] | None,
        augmentations: Mapping[str, nn.Module],
        components: Mapping[str, Regularizer | ClassificationLoss],
        probes: Mapping[str, Probe],
        eval_every: int,
        eval_train_samples: int | None,
        batch_size: int | None,
        seed: int,
        report: Callable[[int, dict[str, float]], None],
    ) -> None:
        super().__init__()
        regularizers = {
            name: Loss(part) if isinstance(part, ClassificationLoss) else part
            for name, part in components.items()
        }
        replacing = loss_among(regularizers)
        for name, split in splits.named.items():
            try:
                dataset.criterion.check(split.y, dataset.classes)
            except ValueError as error:
                raise ValueError(f"the {name} split: {error}") from error
        self.inputs: InputSpec = dataset.inputs
        images = isinstance(self.inputs, Images)
        self.model = model.to(memory_format=torch.channels_last) if images else model
        self.evaluation_batch = EVALUATION_BATCH_OF_IMAGES if images else EVALUATION_BATCH
        self.evaluation_batch = max(1, min(self.evaluation_batch, MOST_LOGITS // dataset.classes))
        self.classes = dataset.classes
        self.criterion = dataset.criterion
        self.train_samples = len(splits.train)
        self.splits = splits
        self.split_names = list(splits.named)
        self.make_optimizer = make_optimizer
        self.schedule = schedule
        self.eval_every = eval_every
        self.eval_train_samples = eval_train_samples
        self.batch_size = batch_size
        self.steps_per_epoch = -(
            -self.train_samples // min(batch_size or self.train_samples, self.train_samples)
        )
        self.seed = seed
        self.report = report

        self.augmentations = nn.Sequential(*augmentations.values())
        self._prepares = images or bool(augmentations)
        self.regularizers = nn.ModuleDict(regularizers)
        self.probes = nn.ModuleDict(probes)
        self._transforming = _acting(regularizers, "transform")
        self._replacing = replacing
        self.softmax = Softmax()
        self._penalizing = _acting(regularizers, "penalty")
        self.editing = _acting(regularizers, "edit_gradients")
        self._projecting = _acting(regularizers, "project")
        self.probing = list(probes.values())

        self.scores = nn.ModuleList(  # by split, in the order of their names
            nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in self.criterion.scores})
            for _ in self.split_names
        )
        if splits.validation is not None:
            self.register_buffer("best", torch.tensor([-math.inf, math.nan], dtype=torch.float64))
        self._losses: list[tuple[int, Tensor]] = []  # with their steps, not yet looked at
        self._last_loss: float | None = None
        self._optimizer: Optimizer | None = None
        self._sharded = False
        self._random_state: dict[str, Any] | None = None
        for regularizer in regularizers.values():
            regularizer.attach(self)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the current hook some forty times a step, and nn.Module's bookkeeping for parameters
        # and buffers makes each assignment slow.
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def probability_map(self) -> ProbabilityMap | None:
        """The map from logits to probabilities under the training loss."""
        if isinstance(self._replacing, Loss):
            return self._replacing.function.probability_map
        return self.softmax

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, once training has begun."""
        if self._optimizer is None:
            raise RuntimeError("the optimizer exists only once training has begun")
        return self._optimizer

    # ------------------------------------------------------------------ data

    def splits_on_device(self) -> Splits:
        """The samples, moved to the device once."""
        if self.splits.train.x.device != self.device:
            self.splits = self.splits.to(self.device)
        return self.splits

    def train_dataloader(self) -> BatchStream:
        """Training batches, from the current step on."""
        trainer = self.trainer
        return BatchStream(
            self.splits_on_device().train,
            self.batch_size,
            self.seed,
            start=trainer.global_step,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )

    def val_dataloader(self) -> list[BatchList]:
        """Every split once, train first."""
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        return [
            BatchList(
                split,
                self.evaluation_batch,
                rank,
                ranks,
                most=self.eval_train_samples if name == "train" else None,
            )
            for name, split in self.splits_on_device().named.items()
        ]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Do nothing: the samples are on the device."""
        return batch

    # -------------------------------------------------------------- training

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The objective of one batch."""
        number = self.trainer.global_step
        loss = self.objective(batch, number)
        if (ranks := self.trainer.world_size) > 1:
            # Gradients are averaged over ranks, whose shares of a batch may differ by one sample.
            loss = loss * (len(batch.index) * ranks / self._samples_at(number))
        self._losses.append((number, loss.detach()))
        return loss

    def _samples_at(self, number: int) -> int:
        """The number of samples of a step over all ranks."""
        size = min(self.batch_size or self.train_samples, self.train_samples)
        return min(size, self.train_samples - number % self.steps_per_epoch * size)

    def objective(self, batch: Batch, number: int) -> Tensor:
        """The training objective of a stored batch, after ``number`` steps."""
        if self._prepares:
            batch = batch._replace(x=self.inputs.prepare(self.augmentations(batch.x)))
        for regularizer in self._transforming:
            batch = regularizer.transform(batch)
        output = as_output(self.model(batch.x))
        step = Step(batch, output, self, number, number // self.steps_per_epoch)
        loss = self.criterion.loss(output, batch) if self._replacing is None else self._replacing.loss(step)
        for regularizer in self._penalizing:
            loss = loss + regularizer.penalty(step)
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Apply regularizers to the gradients; probes see them before and after."""
        if self._sharded:
            average_gradients(parameter for parameter in self.parameters() if not is_split(parameter))
        due = self.probes_of_step()
        for probe in due:
            probe.on_gradient(self)
        for regularizer in self.editing:
            regularizer.edit_gradients(self)
        for probe in due:
            probe.on_edited_gradient(self)

    def probes_of_step(self) -> list[Probe]:
        """The probes that look at the gradients of the current step."""
        number = self.trainer.global_step + 1
        return self._due(number) if self.probing and number % self.eval_every == 0 else []

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """One update, then the regularizers' projections."""
        super().optimizer_step(*args, **kwargs)
        self.project()

    def project(self) -> None:
        """Apply the regularizers' projections after an update."""
        for regularizer in self._projecting:
            regularizer.project(self)

    def configure_model(self) -> None:
        """Shard the weights, if the strategy does."""
        if (mesh := self.device_mesh) is not None and not self._sharded:
            shard(self.model, mesh["data_parallel"])
            self._sharded = True

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and, if the learning rate changes, its schedule."""
        self._optimizer = self.make_optimizer(
            (name, parameter) for name, parameter in self.named_parameters() if parameter.requires_grad
        )
        if self._sharded:
            for group in self._optimizer.param_groups:
                group["fused"] = False  # some fused updates cannot handle sharded weights
        if self.schedule is None:
            return self._optimizer
        scheduler = torch.optim.lr_scheduler.LambdaLR(self._optimizer, self.schedule)
        return {
            "optimizer": self._optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    # ------------------------------------------------------------ evaluation

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of the split with this number; 0 is the train split."""
        batch = batch._replace(x=self.inputs.prepare(batch.x))
        output = as_output(self.model(batch.x))
        scores = self._scores(dataloader_idx)
        for name, values in self.criterion.score(output, batch).items():
            scores[name].update(values)
        name = self.split_names[dataloader_idx]
        if watching := [probe for probe in self._due(self.trainer.global_step) if probe.split == name]:
            clean = self.splits.named[name].clean[batch.index]
            for probe in watching:
                probe.update(batch, output, clean)

    def on_validation_epoch_start(self) -> None:
        """Evaluate nothing after divergence."""
        self._last_loss = self.check_losses()
        if self._last_loss is not None and self.trainer.world_size > 1:
            mine = torch.tensor(self._last_loss, device=self.device)
            self._last_loss = float(self.trainer.strategy.reduce(mine, reduce_op="mean"))

    def on_validation_epoch_end(self) -> None:
        """Report the evaluation."""
        row: dict[str, float | Tensor] = {} if self._last_loss is None else {"loss": self._last_loss}
        for k, split in enumerate(self.split_names):
            for name, score in self._scores(k).items():
                row[f"{split}_{name}"] = score.compute()
                score.reset()
        if self.splits.validation is not None:
            name, sign = (self.criterion.best, 1) if self.criterion.best else ("loss", -1)
            found = [sign * float(row[f"{split}_{name}"]) for split in ("validation", "test")]
            if found[0] > self.best[0]:
                self.best = self.best.new_tensor(found)
            row[f"early_stopped_test_{name}"] = sign * self.best[1]
        for probe in self._due(self.trainer.global_step):
            row |= probe.compute(self)
        self.report(self.trainer.global_step, {name: float(value) for name, value in row.items()})

    def _due(self, step: int) -> list[Probe]:
        """The probes due after this step: each at its own interval, all at the end."""
        if step >= self.trainer.max_steps:
            return self.probing
        return [probe for probe in self.probing if step // self.eval_every % probe.every == 0]

    def _scores(self, split: int) -> dict[str, MeanMetric]:
        return cast(dict[str, MeanMetric], self.scores[split])

    def note_losses(self, losses: Iterable[tuple[int, Tensor]]) -> None:
        """Store the losses of steps with their numbers, to be read later."""
        self._losses.extend(losses)

    def check_losses(self) -> float | None:
        """The last training loss, or ``None`` before the first step.

        Losses since the last check are read here at once, because reading each would stall a GPU at every
        step.

        Raises:
            TrainingDivergedError: with the first step whose loss was not finite.
        """
        if not self._losses:
            return None
        values = torch.stack([loss for _, loss in self._losses]).tolist()
        numbers = [number for number, _ in self._losses]
        self._losses.clear()
        for number, value in zip(numbers, values, strict=True):
            if not math.isfinite(value):
                raise TrainingDivergedError(number + 1, value)
        return float(values[-1])

    # ---------------------------------------------------------------- resume

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the states of the random number generators, so that dropout resumes exactly."""
        checkpoint["random_state"] = generator_states()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random states until training starts, since setup draws random numbers, too."""
        self._random_state = checkpoint.get("random_state")
        # Lightning converts to double precision only after loading, which would round what it loads.
        if in_double_precision(checkpoint["state_dict"]):
            self.double()

    def on_train_start(self) -> None:
        """Restore the random number generators from a checkpoint.

        The checkpoint holds the first process's states; each other process has other samples and derives its
        own from the seed and the step.
        """
        if self.trainer.global_rank > 0:
            seed_generators(hash((self.seed, self.trainer.global_rank, self.trainer.global_step)) % 2**32)
        elif self._random_state is not None:
            set_generators(self._random_state)
        self._random_state = None


def in_double_precision(state: Mapping[str, Tensor]) -> bool:
    """Whether a checkpoint, of one task or many, holds a float64 model.

    Only the model counts: a probe may hold float64 buffers beside any model.
    """
    return any(value.dtype == torch.float64 for name, value in state.items() if IN_MODEL.match(name))


def evaluated(dataset: Dataset) -> list[str]:
    """The metrics of an evaluation, without the probes'."""
    criterion = dataset.criterion
    splits = ["train", "test"] + (["validation"] if dataset.validation else [])
    names = ["loss", *(f"{split}_{name}" for split in splits for name in criterion.scores)]
    return names + ([f"early_stopped_test_{criterion.best or 'loss'}"] if dataset.validation else [])


def _acting(regularizers: Mapping[str, Regularizer], moment: str) -> list[Regularizer]:
    return [regularizer for regularizer in regularizers.values() if overrides(regularizer, moment)]
