"""SGD in numpy, for networks so small that its per-step overhead is the lowest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regrun.contracts.procedure import Context

Array = NDArray[np.float64]
Rate = Callable[[int], float]
CHECK_EVERY = 1000  # steps between evaluations of the full loss


@dataclass(frozen=True)
class Ending:
    """The end of a training.

    Attributes:
        steps: number of steps taken.
        loss: half the mean squared error on the train samples; not finite if it diverged.
    """

    steps: int
    loss: float


class Diagonal:
    """The diagonal linear network ``f(x) = (u * u - v * v) . x``, biased towards sparse models.

    Args:
        width: input dimension.
        scale: initial value of every entry of ``u`` and ``v``.
    """

    def __init__(self, width: int, scale: float) -> None:
        self.u = np.full(width, scale)
        self.v = np.full(width, scale)

    @property
    def w(self) -> Array:
        """The equivalent linear model."""
        return np.asarray(self.u**2 - self.v**2)

    def predict(self, x: Array) -> Array:
        """The outputs for all rows."""
        return x @ self.w

    def step(self, x: Array, y: Array, rate: float) -> None:
        """Take a gradient step on half the mean squared error of some rows."""
        g = (x @ self.w - y) @ x * (2 * rate / len(y))
        self.u, self.v = self.u * (1 - g), self.v * (1 + g)

    @property
    def norm(self) -> float:
        """``sum u^2 + v^2``."""
        return float((self.u**2 + self.v**2).sum())

    def sample_gradients(self, x: Array) -> Array:
        """The gradient of each row's output with respect to all weights: ``(n, weights)``."""
        return np.concatenate([2 * self.u * x, -2 * self.v * x], 1)


class TwoLayer:
    """``f(x) = sum_j a_j relu(w_j . x)``, both layers trained.

    Args:
        width: input dimension.
        units: number of hidden units.
        rng: generator of ``w`` with variance ``1 / width`` and ``a`` with variance ``1 / units``.
    """

    def __init__(self, width: int, units: int, rng: np.random.Generator) -> None:
        self.w: Array = rng.standard_normal((units, width)) / np.sqrt(width)
        self.a: Array = rng.standard_normal(units) / np.sqrt(units)

    def predict(self, x: Array) -> Array:
        """The outputs for all rows."""
        return np.asarray(np.maximum(x @ self.w.T, 0) @ self.a)

    def step(self, x: Array, y: Array, rate: float) -> None:
        """Take a gradient step on half the mean squared error of some rows."""
        h = x @ self.w.T
        active = h > 0
        h *= active
        error = (h @ self.a - y) * (rate / len(y))
        into = error[:, None] * active * self.a
        self.a = self.a - error @ h
        self.w -= into.T @ x

    @property
    def norm(self) -> float:
        """The path norm ``sum |a_j| |w_j|``."""
        return float((np.abs(self.a) * np.linalg.norm(self.w, axis=1)).sum())

    def sample_gradients(self, x: Array) -> Array:
        """The gradient of each row's output with respect to all weights: ``(n, weights)``."""
        h = x @ self.w.T
        active = h > 0
        into = (active * self.a)[:, :, None] * x[:, None]
        return np.concatenate([h * active, into.reshape(len(x), -1)], 1)

    def patterns(self, x: Array) -> int:
        """The number of distinct activation patterns of units over rows, without units that never fire."""
        active = (x @ self.w.T > 0).T
        return len(np.unique(active[active.any(1)], axis=0))


def descend(
    model: Diagonal | TwoLayer,
    x: Array,
    y: Array,
    rate: Rate,
    steps: int,
    batch: int | None,
    rng: np.random.Generator,
    context: Context,
    floor: float = 0.0,
) -> Ending:
    """Train until the steps are spent, the loss is at most ``floor``, or it diverges.

    Args:
        model: the network, modified in place.
        x: input rows.
        y: targets.
        rate: learning rate as a function of the step.
        steps: maximum number of steps.
        batch: rows per step, drawn with replacement; ``None`` for all rows.
        rng: generator of the batches.
        context: context for stop requests and progress.
        floor: half the mean squared error to stop at.

    Raises:
        StoppedError: after a stop request.
    """
    loss = float("inf")
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, steps, CHECK_EVERY):
            context.stop.check()
            count = min(CHECK_EVERY, steps - start)
            rows = None if batch is None else rng.integers(len(x), size=(count, batch))
            for k in range(count):
                if rows is None:
                    model.step(x, y, rate(start + k))
                else:
                    model.step(x[rows[k]], y[rows[k]], rate(start + k))
            loss = float(((model.predict(x) - y) ** 2).mean() / 2)
            context.show(start + count, loss)
            if not np.isfinite(loss) or loss <= floor:
                return Ending(start + count, loss)
    return Ending(steps, loss)
