"""*The Implicit Regularization of Dynamical Stability*: the sharpness of minima where SGD stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regrun.contracts.procedure import Context, Description
from regrun.procedures.small_sgd import Array, Diagonal, TwoLayer, descend


@dataclass(frozen=True, eq=False)
class StableMinimum:
    """Trains to zero loss by single samples or by all; then measures the Hessian.

    At zero loss the Hessian of half the mean squared error is ``1/n sum grad f_i grad f_i^T``.
    ``hessian_trace`` and ``sharpness`` (its largest eigenvalue), each also as a share of ``2 / lr``:
    ``trace_share`` and ``sharpness_share``. ``norm`` is the path norm, or the sum of squared weights of a
    diagonal network; ``test_error`` the mean squared error on fresh inputs, over the targets' variance;
    ``train_loss`` and ``steps_taken``. Linear stability of SGD with single samples bounds the trace by ``2 /
    lr``, that of gradient descent only the sharpness. Wu & Su, arXiv 2305.17490.

    Args:
        lr: learning rate.
        batch: rows of each step, ``None`` for all.
        diagonal: whether a diagonal linear network is trained, rather than a two-layer ReLU network.
        width: inputs, standard normal.
        samples: rows.
        units: number of hidden units.
        steps: maximum number of steps.
        floor: loss to stop at.
    """

    metrics = (
        "hessian_trace",
        "sharpness",
        "trace_share",
        "sharpness_share",
        "norm",
        "test_error",
        "train_loss",
        "steps_taken",
    )

    lr: float = 0.01
    batch: int | None = 1
    diagonal: bool = False
    width: int = 20
    samples: int = 60
    units: int = 100
    steps: int = 1_000_000
    floor: float = 1e-8

    def __post_init__(self) -> None:
        if self.lr <= 0 or min(self.width, self.samples, self.units, self.steps, self.batch or 1) < 1:
            raise ValueError(
                "lr must be above 0, batch, width, samples, units and steps at least 1, "
                f"got {self.lr}, {self.batch}, {self.width}, {self.samples}, {self.units} and {self.steps}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and measure."""
        rng = np.random.default_rng(context.seed)
        x, x_test = (rng.standard_normal((n, self.width)) for n in (self.samples, 2000))
        y, y_test = self.target(x), self.target(x_test)
        context.begin(Description(steps=self.steps, precision="64-true", sizes={"samples": self.samples}))
        model = Diagonal(self.width, 0.3) if self.diagonal else TwoLayer(self.width, self.units, rng)
        ending = descend(model, x, y, lambda step: self.lr, self.steps, self.batch, rng, context, self.floor)
        rows = model.sample_gradients(x)
        trace = float((rows**2).sum() / len(x))
        sharpness = float(np.linalg.eigvalsh(rows @ rows.T / len(x))[-1])
        row = {
            "hessian_trace": trace,
            "sharpness": sharpness,
            "trace_share": trace * self.lr / 2,
            "sharpness_share": sharpness * self.lr / 2,
            "norm": model.norm,
            "test_error": float(((model.predict(x_test) - y_test) ** 2).mean() / y_test.var()),
            "train_loss": ending.loss,
            "steps_taken": float(ending.steps),
        }
        context.log(self.steps, row)
        return row

    def target(self, x: Array) -> Array:
        """One ReLU of the first input; for the diagonal network the sum of the first five."""
        return np.asarray(x[:, :5].sum(1) if self.diagonal else np.maximum(x[:, 0], 0))
