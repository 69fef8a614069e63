"""Trains runs that differ only in values as one stacked model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from regrun.contracts.procedure import Context, Procedure
from regrun.contracts.samples import Splits
from regrun.contracts.stopping import StoppedError, StopRequest
from regrun.data.generators import seed_generators
from regrun.procedures.attaching import attach_probes
from regrun.procedures.stackable import (
    NotStackableError,
    check_alike,
    check_stack,
    differing_values,
    optimizer_key,
    quiet_vmap,
)
from regrun.procedures.trainer import (
    ENDED,
    Interruptible,
    Progress,
    fit,
    make_trainer,
    quiet_lightning,
    saved_state,
)
from regrun.procedures.training import SupervisedTraining, describe
from regrun.records.damage import DamagedError
from regrun.records.files import put_in_place
from regrun.tasks.stacked import Stacked
from regrun.tasks.supervised import Supervised

Ending = dict[str, float] | BaseException


@dataclass(frozen=True)
class Member:
    """A run of a stack.

    Attributes:
        procedure: its procedure, which must be a ``SupervisedTraining``.
        context: its context.
    """

    procedure: Procedure
    context: Context


@dataclass
class Shared:
    """The shared context of the runs of a stack.

    Attributes:
        checkpoint: checkpoint of the whole stack.
        checkpoint_seconds: least time between saves, in seconds.
        stop: the stop request, to be checked between steps.
        contexts: contexts of the runs; progress of the first is shown.
        before: each run's log summary at the checkpoint to resume from, by identity.
    """

    checkpoint: Path
    checkpoint_seconds: float
    stop: StopRequest
    contexts: Sequence[Context]
    before: Mapping[str, Any]

    def show(self, step: int, loss: float) -> None:
        """Move the progress bar."""
        self.contexts[0].show(step, loss)

    def recorded(self) -> dict[str, Any]:
        """The log summary of each run, by identity."""
        # A run whose record was refused has logged nothing since.
        return {c.identity: c.recorded() or self.before.get(c.identity, {}) for c in self.contexts}


def train_stacked(
    members: Sequence[Member], checkpoint: Path, most_weights: int | None = None
) -> list[Ending]:
    """Train runs together; returns each run's final metrics or error, in order.

    Args:
        members: at least two runs, whose configs differ only in the seed, the optimizer's numbers and other
            floating-point values.
        checkpoint: file in which the stack saves its state, and from which it resumes.
        most_weights: maximum size of one model; ``None`` for no limit.

    Raises:
        NotStackableError: if they cannot be stacked; nothing has been written then.
        Exception: any error of a component. The runs may still succeed one by one, with less memory.
    """
    procedures = [training(member) for member in members]
    loaded: dict[str, Splits] = {}
    finals: list[dict[str, float]] = [{} for _ in members]
    built = []
    for procedure, member, final in zip(procedures, members, finals, strict=True):
        splits = procedure.dataset.load(member.context.data_dir, member.context.seed)
        splits = loaded.setdefault(splits.fingerprint(), splits)
        built.append(build(procedure, member.context, splits, final))
    weights = sum(weight.numel() for weight in built[0].model.parameters())
    if most_weights is not None and weights > most_weights:
        raise NotStackableError(f"a model of {weights:,} weights keeps a GPU busy alone")
    keys = [optimizer_key(task) for task in built]
    # A fixed order, since the checkpoint stores runs by position.
    order = sorted(range(len(members)), key=lambda k: (keys[k], members[k].context.identity))
    tasks = [built[k] for k in order]
    alike = [len(list(run)) for _, run in itertools.groupby(order, keys.__getitem__)]
    check_alike(tasks)
    values = differing_values(tasks)
    stacked = Stacked(tasks, alike, values)
    check_stack(tasks, stacked)

    contexts = [members[k].context for k in order]
    first = contexts[0]
    procedure = procedures[0]
    saved = saved_state(checkpoint if checkpoint.exists() else None)
    before = {} if saved is None else saved.recorded or {}
    if saved is not None and list(before) != [context.identity for context in contexts]:
        raise DamagedError(checkpoint, "it does not say which runs it is of")
    shared = Shared(checkpoint, first.checkpoint_seconds, first.stop, contexts, before)
    watch = Interruptible(shared)
    trainer = make_trainer(first.trainer, procedure.steps, procedure.eval_every, [watch, Progress(shared)])
    left_out = [
        attach_probes(task, str(trainer.precision), context.skip_probes)
        for task, context in zip(tasks, contexts, strict=True)
    ]
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    endings: dict[int, Ending] = {}
    for k, (task, context) in enumerate(zip(tasks, contexts, strict=True)):
        description = describe(task, trainer, left_out[k], saved, before.get(context.identity))
        notes = (*description.notes, f"one of {len(tasks)} stacked runs")
        try:
            context.begin(replace(description, notes=notes, sharers=len(tasks)))
        except Exception as error:
            endings[k] = error
    try:
        with quiet_lightning(), quiet_vmap():
            fit(trainer, stacked, saved, watch)
            if procedure.steps % procedure.eval_every:
                trainer.validate(stacked, verbose=False)
        checkpoint.unlink(missing_ok=True)
    except (StoppedError, KeyboardInterrupt, SystemExit) as error:
        endings = dict.fromkeys(range(len(tasks)), error) | endings
    endings = dict(stacked.diverged) | endings
    for k, (task, context) in enumerate(zip(tasks, contexts, strict=True)):
        if k not in endings:
            save(task, context.checkpoint, procedure.steps)
            endings[k] = dict(finals[order[k]])
    return [endings[order.index(k)] for k in range(len(members))]


def training(member: Member) -> SupervisedTraining:
    """A member's procedure; raises ``NotStackableError`` unless it trains a single network."""
    if type(member.procedure) is not SupervisedTraining:
        raise NotStackableError(f"{type(member.procedure).__name__} does more than train one network")
    return member.procedure


def build(
    procedure: SupervisedTraining, context: Context, splits: Splits, final: dict[str, float]
) -> Supervised:
    """The task of a run, as if trained alone; its evaluations go to the record and into ``final``."""

    def report(step: int, metrics: dict[str, float]) -> None:
        final.clear()
        final.update(metrics)
        context.log(step, metrics)

    seed_generators(context.seed)
    return procedure.build(splits, context.seed, report)


def save(task: Supervised, checkpoint: Path, steps: int) -> None:
    """Save the final state of a run that others may read: weights and buffers."""
    state = {name: value.detach().cpu().clone() for name, value in task.state_dict().items()}
    partial = checkpoint.with_suffix(".partial")
    torch.save({"state_dict": state, "global_step": steps, ENDED: True}, partial)
    put_in_place(partial, checkpoint)
