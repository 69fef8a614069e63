"""*Opening the Blackbox*, *Locally Regularized NDEs*: the run time of a regularized equation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from regrun.contracts.batch import Batch
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.data.generators import seed_generators
from regrun.data.stream import BatchList
from regrun.procedures.after_training import AfterTraining, check_data
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class SolverTimes(AfterTraining):
    """Trains a model with and without regularization, then times both alternately.

    Times are ratios of medians over alternating rounds within one process: of predicting the test split, and
    of the forward and backward pass of a training step, at the initial and at the trained weights. The curves
    are those of the training. Pal et al., arXiv 2105.03918 and 2303.02262.

    Args:
        training: the regularized training.
        baseline: the same without regularization.
        rounds: rounds per timing.
    """

    own = (
        "prediction_time_ratio",
        "training_time_ratio",
        "first_training_time_ratio",
        "prediction_seconds",
    )

    def __init__(self, training: SupervisedTraining, baseline: SupervisedTraining, rounds: int = 7) -> None:
        super().__init__(training)
        if rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {rounds}")
        self.baseline = baseline
        self.rounds = rounds

    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """Train the baseline, or find it trained; then train, and time both."""
        plain = context.stage("baseline", self.baseline)
        check_data(plain, splits)
        seed_generators(context.seed)
        tasks = [task, self.baseline.restore(plain.checkpoint, splits)]
        dtype = next(tasks[0].model.parameters()).dtype
        fresh = [
            procedure.build(splits, context.seed, lambda step, metrics: None).to(dtype)
            for procedure in (self.training, self.baseline)
        ]

        prediction, seconds = self.time_in_turns([predicting(task, splits) for task in tasks], context)
        steps = [[stepping(task, splits, self.training) for task in pair] for pair in (tasks, fresh)]
        (last, _), (first, _) = (self.time_in_turns(pair, context) for pair in steps)
        times = (prediction, last, first, seconds)
        return dict(zip(self.own, times, strict=True))

    def time_in_turns(self, works: list[Callable[[], object]], context: Context) -> tuple[float, float]:
        """The ratio of two functions' median times, and the times in seconds, after a warm-up of each."""
        taken: list[list[float]] = [[] for _ in works]
        for work in works:
            work()
        for _ in range(self.rounds):
            for work, times in zip(works, taken, strict=True):
                context.stop.check()
                begin = time.perf_counter()
                work()
                times.append(time.perf_counter() - begin)
        mine, others = map(statistics.median, taken)
        return mine / others, mine


def predicting(task: Supervised, splits: Splits) -> Callable[[], object]:
    """Predict the whole test split."""
    batches = list(BatchList(splits.test, task.evaluation_batch))

    @torch.no_grad()
    def work() -> None:
        task.eval()
        for batch in batches:
            task.model(task.inputs.prepare(batch.x))

    return work


def stepping(task: Supervised, splits: Splits, training: SupervisedTraining) -> Callable[[], object]:
    """The forward and backward pass of a training step, after the last one, on the first batch."""
    index = torch.arange(min(training.batch_size or len(splits.train), len(splits.train)))
    dtype = next(task.model.parameters()).dtype
    x, y = (
        part[index].to(dtype) if part.is_floating_point() else part[index]
        for part in (splits.train.x, splits.train.y)
    )
    batch = Batch(x, y, index)

    def work() -> None:
        task.train()
        task.zero_grad()
        task.objective(batch, training.steps).backward()

    return work
