"""*Learning Rates as a Function of Batch Size*: batch Hessians as spiked random matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.measures.lanczos import top_eigenvalues
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.measures.slope import log_slope
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised

PREDICTED = (8, 32, 64)
FITTED = 16
LARGEST = 1e4  # learning rate that is tried


class BatchSharpness(AfterTraining):
    """Trains a network briefly; then measures how sharp mini-batches are, and which steps they allow.

    ``batch_sharpness/batch=B`` is the largest eigenvalue of the Hessian of a mini-batch, the mean over
    ``repeats`` of them, ``full_sharpness`` that of all samples; ``excess_slope`` is the slope, on logarithmic
    axes, of their difference against ``B`` up to 128. ``prediction_error`` is the largest relative error, at
    8, 32 and 64, of the spiked random matrix's ``l_1 + P s^2 / (b l_1)``, or ``2 s sqrt(P / b)`` below its
    threshold, with ``b = B / (1 - B / N)`` and the noise ``s`` taken from the measurement at 16.
    ``sgd_step/batch=B`` and ``adam_step/batch=B`` are the largest learning rates, on a grid of factor
    ``grid``, with which ``trial_steps`` steps from the trained weights do not double the loss of all samples;
    ``sgd_slope`` and ``adam_slope`` their slopes. Granziol et al., arXiv 2006.09092.

    Args:
        training: training procedure.
        batches: sizes ``B``, ascending, with 8, 16, 32 and 64 among them.
        repeats: mini-batches of each size.
        iterations: number of Lanczos iterations.
        step_batches: sizes for which steps are tried.
        trial_steps: steps of each trial.
        grid: factor between learning rates, above 1.
    """

    own = (
        "batch_sharpness",
        "full_sharpness",
        "excess_slope",
        "prediction_error",
        "sgd_step",
        "adam_step",
        "sgd_slope",
        "adam_slope",
    )

    def __init__(
        self,
        training: SupervisedTraining,
        batches: Sequence[int] = (8, 16, 32, 64, 128, 256, 512),
        repeats: int = 8,
        iterations: int = 25,
        step_batches: Sequence[int] = (4, 8, 16, 32, 64),
        trial_steps: int = 200,
        grid: float = 1.3,
    ) -> None:
        super().__init__(training)
        if not {FITTED, *PREDICTED} <= {*batches} or list(batches) != sorted({*batches}):
            raise ValueError(f"batches must ascend, with 8, 16, 32 and 64 among them, got {list(batches)}")
        if min(repeats, iterations, trial_steps, *step_batches) < 1 or grid <= 1:
            raise ValueError(
                "repeats, iterations, trial_steps and step_batches must be at least 1, grid above 1"
            )
        self.batches = batches
        self.repeats = repeats
        self.iterations = iterations
        self.step_batches = step_batches
        self.trial_steps = trial_steps
        self.grid = grid

    def check(self, task: Supervised, splits: Splits) -> None:
        """Raise ``ValueError`` if there are fewer samples than in the largest batch."""
        if len(splits.train) < self.batches[-1]:
            raise ValueError(f"there are fewer than {self.batches[-1]} train samples")

    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        train = splits.train
        everything = Batch(task.inputs.prepare(train.x), train.y, torch.arange(len(train)))
        generator = torch.Generator().manual_seed(context.seed)

        def drawn(size: int) -> Batch:
            index = torch.randperm(len(train), generator=generator)[:size]
            return Batch(everything.x[index], everything.y[index], index)

        full = self.sharpness(task, everything, generator)
        means: dict[int, float] = {}
        for size in self.batches:
            context.stop.check()
            found = [self.sharpness(task, drawn(size), generator) for _ in range(self.repeats)]
            means[size] = sum(found) / len(found)
        parameters = sum(p.numel() for p in task.model.parameters())
        small = [size for size in self.batches if size <= 128]
        row = {f"batch_sharpness/batch={size}": value for size, value in means.items()}
        row |= {
            "full_sharpness": full,
            "excess_slope": log_slope(small, [means[b] - full for b in small]),
            "prediction_error": prediction_error(means, full, parameters / len(train), len(train)),
        }
        for name, optimizer in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
            steps = {b: self.largest_step(task, everything, b, optimizer, context) for b in self.step_batches}
            row |= {f"{name}_step/batch={b}": rate for b, rate in steps.items()}
            row[f"{name}_slope"] = log_slope(list(steps), list(steps.values()))
        return row

    def sharpness(self, task: Supervised, batch: Batch, generator: torch.Generator) -> float:
        """The algebraically largest eigenvalue of the Hessian of a batch's loss."""
        with measuring(task.model):
            landscape = Landscape(task.model, task.criterion.loss, batch)
            start = torch.randn(landscape.size, generator=generator)
            values, _ = top_eigenvalues(landscape.hessian_vector, start, 1, self.iterations)
        return float(values[0])

    def largest_step(
        self,
        task: Supervised,
        everything: Batch,
        size: int,
        optimizer: Callable[..., torch.optim.Optimizer],
        context: Context,
    ) -> float:
        """The largest learning rate of the grid with which training from here does not double the loss."""
        weights = [p for p in task.model.parameters() if p.requires_grad]
        kept = [w.detach().clone() for w in weights]

        def loss(batch: Batch) -> Tensor:
            return task.criterion.loss(as_output(task.model(batch.x)), batch)

        with torch.no_grad():
            limit = 2 * float(loss(everything))

        def survives(rate: float) -> bool:
            context.stop.check()
            with torch.no_grad():
                torch._foreach_copy_(weights, kept)  # type: ignore[arg-type]
            method = optimizer(weights, lr=rate)
            generator = torch.Generator().manual_seed(context.seed)
            for step in range(self.trial_steps):
                index = torch.randint(len(everything.x), (size,), generator=generator)
                method.zero_grad()
                loss(Batch(everything.x[index], everything.y[index], index)).backward()
                method.step()
                if step % 20 == 19 or step == self.trial_steps - 1:
                    with torch.no_grad():
                        now = float(loss(everything))
                    if not math.isfinite(now) or now > limit:
                        return False
            return True

        rate = 1e-4
        for stride in (4, 1):  # in strides of four, then one by one
            while rate < LARGEST and survives(rate * self.grid**stride):
                rate *= self.grid**stride
        with torch.no_grad():
            torch._foreach_copy_(weights, kept)  # type: ignore[arg-type]
        return rate


def prediction_error(means: dict[int, float], full: float, ratio: float, samples: int) -> float:
    """The largest relative error of the spiked random matrix's predictions.

    Args:
        means: measured sharpness by batch size.
        full: sharpness of the full batch.
        ratio: parameters over samples; ``P / b`` is its product with ``samples / b``.
        samples: ``N``.
    """

    def noise(size: int) -> float:  # P / b
        return ratio * samples * (1 - size / samples) / size

    # s^2 from one size, in the regime that then holds.
    square = max(means[FITTED] - full, 0.0) * full / noise(FITTED)
    if full <= math.sqrt(noise(FITTED) * square):
        square = (means[FITTED] / 2) ** 2 / noise(FITTED)

    def predicted(size: int) -> float:
        edge = math.sqrt(noise(size) * square)
        return full + edge**2 / full if full > edge else 2 * edge

    return max(abs(predicted(size) / means[size] - 1) for size in PREDICTED)
