"""Trains many supervised runs of one architecture as one stacked model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.optim import Optimizer

from regrun.contracts.batch import Batch
from regrun.contracts.samples import Splits
from regrun.errors import TrainingDivergedError
from regrun.tasks.stack_parts import Editor, Named, Objective, OptimizerView, stack_batches, stack_views
from regrun.tasks.supervised import Supervised, in_double_precision


class Stacked(pl.LightningModule):
    """Trains tasks that differ only in values, each as it would be trained alone.

    The weights of all tasks are stacked by name, ``(tasks, ...)``, and each task's parameters are views of
    them. One ``vmap`` of the objective gives all losses; the tasks are independent, so the gradient of the
    sum is the gradient of each. The optimizer must be elementwise and holds the stacked tensors, one group
    per run of neighbours with equal settings. Evaluations, projections, and gradient edits that need more
    than weights and gradients are done task by task, on the views.

    Args:
        tasks: the tasks, sorted so that equal optimizer settings are adjacent.
        alike: number of neighbours with equal optimizer settings, group by group.
        values: float attributes that differ between tasks, from ``(module, attribute)`` to the value of each
            task.
    """

    weights: Named
    memories: Named  # buffers

    def __init__(
        self,
        tasks: Sequence[Supervised],
        alike: Sequence[int],
        values: dict[tuple[str, str], list[float]],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.tasks = nn.ModuleList(tasks)
        self.members = list(tasks)
        self.alike = list(alike)
        self.values = values
        self.eval_every = tasks[0].eval_every
        self.diverged: dict[int, TrainingDivergedError] = {}
        self._template = [Objective(tasks[0], values)]  # in a list: not one more module of this one
        self.edited_together: set[int] = set()  # numbers of regularizers, where that has been found to work
        self._losses: list[tuple[int, Tensor]] = []  # of all tasks, not yet looked at
        for module in self.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0:
                module.eval()  # training mode would draw random numbers

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Convert to double precision before loading, which would round."""
        if in_double_precision(checkpoint["state_dict"]):
            self.double()

    def setup(self, stage: str) -> None:
        """Give the tasks the trainer, which they ask for the step."""
        for task in self.members:
            task.trainer = self.trainer

    # ------------------------------------------------------------- the stack

    def stack(self) -> None:
        """Stack the weights and buffers, on their device."""
        self.weights = stack_views([dict(task.named_parameters()) for task in self.members])
        self.memories = stack_views([dict(task.named_buffers()) for task in self.members])
        self.varying = {
            name: torch.tensor(found, dtype=torch.float64, device=self.device)
            for name, found in self.values.items()
        }

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Stack the weights after they have moved, and build the optimizer over them."""
        self.stack()
        moved: dict[int, Splits] = {}  # samples that several tasks share are moved once
        for task in self.members:
            before = id(task.splits)
            task.splits = moved[before] = moved.get(before) or task.splits_on_device()
        self._gradients = {name: torch.zeros_like(weight) for name, weight in self.trained().items()}
        for k, task in enumerate(self.members):
            own = dict(task.named_parameters())
            for name, gradients in self._gradients.items():
                own[name].grad = gradients[k]
        optimizer, factors = self._optimizer_over_the_stack()
        if not factors:
            return optimizer
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def trained(self) -> Named:
        """The stacked trainable weights."""
        return {name: weight for name, weight in self.weights.items() if weight.requires_grad}

    def _optimizer_over_the_stack(self) -> tuple[Optimizer, list[Callable[[int], float]]]:
        """The optimizer, and each group's learning-rate factor if rates change."""
        whole: Optimizer | None = None
        factors = []
        start = 0
        for count in self.alike:
            part = slice(start, start + count)
            named = []
            for name in self._gradients:
                weight = nn.Parameter(self.weights[name].detach()[part])
                weight.grad = self._gradients[name][part]
                named.append((name, weight))
            own = self.members[start].make_optimizer(named)
            groups = list(own.param_groups)
            if whole is None:
                whole = own
            else:
                for group in groups:
                    whole.add_param_group(group)
            for task in self.members[part]:
                task._optimizer = cast(Optimizer, OptimizerView(task, groups))
            factors += [self.members[start].schedule] * len(groups)
            start += count
        assert whole is not None
        return whole, [factor for factor in factors if factor is not None]

    # -------------------------------------------------------------- training

    def train_dataloader(self) -> Any:
        """The stacked batches of all tasks, from the current step on."""
        streams = [iter(task.train_dataloader()) for task in self.members]
        whole = self.members[0].steps_per_epoch == 1
        stacked = stack_batches([next(stream) for stream in streams])
        while True:
            yield stacked
            if not whole:
                stacked = stack_batches([next(stream) for stream in streams])

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Do nothing: the samples are on the device."""
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Update all tasks."""
        number = self.trainer.global_step
        losses = self.objectives(batch, number)
        gradients = torch.autograd.grad(losses.sum(), list(self.trained().values()))
        torch._foreach_copy_(list(self._gradients.values()), gradients)
        self._losses.append((number, losses.detach()))
        optimizer: Any = self.optimizers()
        self._edit_gradients()
        optimizer.step()
        for task in self.members:
            task.project()
        if (scheduler := self.lr_schedulers()) is not None:
            scheduler.step()  # type: ignore[union-attr]
        return losses.detach().mean()

    def _edit_gradients(self) -> None:
        """Edit gradients between the backward pass and the update."""
        due = [(task, probe) for task in self.members for probe in task.probes_of_step()]
        for task, probe in due:
            probe.on_gradient(task)
        for k in range(len(self.members[0].editing)):
            if k in self.edited_together:
                self.edit_together(k, self.trained(), self._gradients)
            else:
                for task in self.members:
                    task.editing[k].edit_gradients(task)
        for task, probe in due:
            probe.on_edited_gradient(task)

    @torch.no_grad()
    def edit_together(self, number: int, weights: Named, gradients: Named) -> None:
        """Edit gradients or weights of all tasks in place.

        Args:
            number: index of the regularizer among those that edit gradients.
            weights: stacked weights by name.
            gradients: stacked gradients by name.
        """
        template = self._template[0]
        editor = Editor(template.task, template.task.editing[number])

        def edit(weights: Named, gradients: Named, varying: dict[tuple[str, str], Tensor]) -> Tensor:
            with template.given(varying):
                return functional_call(editor, weights, (gradients,))

        vmap(edit, randomness="error")(
            {f"task.{name}": weight.detach() for name, weight in weights.items()}, gradients, self.varying
        )

    def objectives(self, batch: Batch, number: int) -> Tensor:
        """The objective of each task after ``number`` steps: ``(tasks,)``.

        Args:
            batch: stacked batch of all tasks, with a first dimension for tasks.
            number: number of the step.
        """
        weights = {f"task.{name}": weight for name, weight in self.weights.items()}
        memories = {f"task.{name}": memory for name, memory in self.memories.items()}

        def objective(
            weights: Named, memories: Named, varying: dict[tuple[str, str], Tensor], batch: Any
        ) -> Tensor:
            with template.given(varying):
                return functional_call(template, (weights, memories), (Batch(*batch), number))

        template = self._template[0]
        parts = (batch.x, batch.y, batch.index)
        return vmap(objective, randomness="error")(weights, memories, self.varying, parts)

    # ------------------------------------------------------------ evaluation

    def val_dataloader(self) -> range:
        """One item per task: its number."""
        return range(len(self.members))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing: each task's gradients stay views of the stacked ones, which a step overwrites."""

    def on_validation_epoch_start(self) -> None:
        """Find tasks whose loss has diverged; they are no longer evaluated."""
        self._look_at_losses(Supervised.on_validation_epoch_start)

    def validation_step(self, number: int, batch_idx: int) -> None:
        """Evaluate a task on all its splits."""
        if number in self.diverged:
            return
        task = self.members[number]
        for split, batches in enumerate(task.val_dataloader()):
            for k, batch in enumerate(batches):
                task.validation_step(batch, k, split)

    def on_validation_epoch_end(self) -> None:
        """Report the evaluations."""
        for k in self.converging():
            self.members[k].on_validation_epoch_end()

    def converging(self) -> list[int]:
        """The numbers of the tasks that have not diverged."""
        return [k for k in range(len(self.members)) if k not in self.diverged]

    def hand_out_losses(self) -> None:
        """Read the losses since the last check at once, and pass each task its own."""
        if not self._losses:
            return
        numbers = [number for number, _ in self._losses]
        found = torch.stack([losses for _, losses in self._losses]).cpu()
        self._losses.clear()
        for k in self.converging():
            self.members[k].note_losses(zip(numbers, found[:, k], strict=True))

    def check_losses(self) -> None:
        """Find tasks whose loss has diverged."""
        self._look_at_losses(Supervised.check_losses)

    def _look_at_losses(self, look: Callable[[Supervised], Any]) -> None:
        self.hand_out_losses()
        for k in self.converging():
            try:
                look(self.members[k])
            except TrainingDivergedError as error:
                self.diverged[k] = error
