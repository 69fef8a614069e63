"""*SGD with Large Step Sizes Learns Sparse Features*: two problems small enough to see it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regrun.contracts.procedure import Context, Description
from regrun.procedures.small_sgd import Diagonal, TwoLayer, descend


class DiagonalNetwork:
    """Trains a diagonal linear network on a sparse linear target, with fewer samples than inputs.

    ``test_error`` is ``|w - w*|^2 / relevant``, ``norm`` the sum of the squares of all weights,
    ``train_loss`` half the mean squared error, ``active_inputs`` how many entries of ``w`` exceed a hundredth
    of the largest. In float64. Andriushchenko et al., arXiv 2210.05337.

    Args:
        lr: learning rate.
        batch: rows of each step, ``None`` for all.
        width: inputs.
        samples: rows.
        relevant: inputs that count, with weight 1.
        scale: scale of the initial weights.
        steps: maximum number of steps.
        floor: loss to stop at.
    """

    metrics = ("test_error", "norm", "train_loss", "active_inputs", "steps_taken")

    def __init__(
        self,
        lr: float = 0.02,
        batch: int | None = 1,
        width: int = 100,
        samples: int = 40,
        relevant: int = 5,
        scale: float = 0.3,
        steps: int = 100_000,
        floor: float = 1e-10,
    ) -> None:
        if lr <= 0 or scale <= 0 or min(width, samples, steps, batch or 1) < 1:
            raise ValueError(
                "lr and scale must be above 0, batch, width, samples and steps at least 1, "
                f"got {lr}, {scale}, {batch}, {width}, {samples} and {steps}"
            )
        if not 1 <= relevant <= width:
            raise ValueError(f"relevant must lie between 1 and width, got {relevant}")
        self.lr = lr
        self.batch = batch
        self.width = width
        self.samples = samples
        self.relevant = relevant
        self.scale = scale
        self.steps = steps
        self.floor = floor

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and measure."""
        rng = np.random.default_rng(context.seed)
        truth = np.zeros(self.width)
        truth[: self.relevant] = 1
        x = rng.standard_normal((self.samples, self.width))
        context.begin(Description(steps=self.steps, precision="64-true", sizes={"samples": self.samples}))
        model = Diagonal(self.width, self.scale)
        ending = descend(
            model, x, x @ truth, lambda step: self.lr, self.steps, self.batch, rng, context, self.floor
        )
        w = model.w
        row = {
            "test_error": float(((w - truth) ** 2).sum() / self.relevant),
            "norm": model.norm,
            "train_loss": ending.loss,
            "active_inputs": float((np.abs(w) > 0.01 * np.abs(w).max()).sum()),
            "steps_taken": float(ending.steps),
        }
        context.log(self.steps, row)
        return row


@dataclass(frozen=True, eq=False)
class LargeThenSmall:
    """Trains a two-layer ReLU network on a teacher's targets, one sample at a time: large steps, then small.

    The learning rate rises to ``large`` over ``warmup`` steps, stays there for the rest of ``large_steps``,
    and is ``small`` for ``small_steps``. ``path_norm`` is ``sum |a_j| |w_j|``, ``test_error`` the mean
    squared error on fresh inputs, ``train_loss`` half of that on the train samples, ``patterns`` how many
    activation patterns the units have. Andriushchenko et al., arXiv 2210.05337.

    Args:
        large: learning rate of the first phase.
        small: learning rate of the second phase.
        large_steps: steps of the first phase, including ``warmup``.
        small_steps: steps of the second phase.
        warmup: steps.
        width: inputs, standard normal.
        samples: rows.
        units: hidden units of the network.
        teacher_units: hidden units of the teacher, random unit vectors with outgoing weight 1.
    """

    metrics = ("test_error", "path_norm", "train_loss", "patterns")

    large: float = 0.05
    small: float = 0.02
    large_steps: int = 20_000
    small_steps: int = 10_000
    warmup: int = 2000
    width: int = 5
    samples: int = 40
    units: int = 100
    teacher_units: int = 2

    def __post_init__(self) -> None:
        if (
            min(self.large, self.small) <= 0
            or min(
                self.large_steps, self.small_steps, self.width, self.samples, self.units, self.teacher_units
            )
            < 1
        ):
            raise ValueError("learning rates must be above 0 and all counts at least 1")
        if not 0 <= self.warmup <= self.large_steps:
            raise ValueError(f"warmup must lie between 0 and large_steps, got {self.warmup}")

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        if step >= self.large_steps:
            return self.small
        return self.large * min(1.0, (step + 1) / (self.warmup + 1))

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and measure."""
        rng = np.random.default_rng(context.seed)
        teacher = rng.standard_normal((self.teacher_units, self.width))
        teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
        x, x_test = (rng.standard_normal((n, self.width)) for n in (self.samples, 2000))
        y, y_test = (np.maximum(rows @ teacher.T, 0).sum(1) for rows in (x, x_test))
        steps = self.large_steps + self.small_steps
        context.begin(Description(steps=steps, precision="64-true", sizes={"samples": self.samples}))
        model = TwoLayer(self.width, self.units, rng)
        ending = descend(model, x, y, self.rate, steps, 1, rng, context)
        row = {
            "test_error": float(((model.predict(x_test) - y_test) ** 2).mean()),
            "path_norm": model.norm,
            "train_loss": ending.loss,
            "patterns": float(model.patterns(x)),
        }
        context.log(steps, row)
        return row
