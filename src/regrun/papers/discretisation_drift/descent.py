"""*On discretisation drift*: full-batch descent whose step follows the curvature along the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from regrun.contracts.batch import Batch
from regrun.contracts.output import as_output
from regrun.contracts.procedure import Context, Description
from regrun.data.base import Dataset
from regrun.data.generators import seed_generators
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.procedures.evaluation import accuracy

DIVERGED = 1e9


@dataclass(frozen=True, eq=False)
class FullBatchDescent:
    """Gradient descent on the whole train split, with a fixed or a drift-adjusted learning rate.

    With ``power`` the rate is ``2 / |H g / |g||^power``, at most ``lr``, with gradient ``g`` and Hessian
    ``H`` (DAL; Rosca, arXiv 2310.14036): one Hessian-vector product a step. Logs ``train_loss``,
    ``test_accuracy`` and ``step_size``; ``largest_increase`` is that of the loss in one step so far. A loss
    that is not finite is recorded as 1e9, and ends the run.

    Args:
        dataset: the task.
        model: builds the network from ``inputs`` and ``classes``.
        steps: number of descent steps.
        lr: learning rate, or its cap.
        power: exponent of the drift adjustment, ``None`` for a fixed rate.
        eval_every: steps between evaluations on the test split.
    """

    metrics = ("train_loss", "test_accuracy", "step_size", "largest_increase")

    dataset: Dataset
    model: Callable[..., nn.Module]
    steps: int
    lr: float = 0.5
    power: float | None = None
    eval_every: int = 10

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.eval_every) < 1
            or self.lr <= 0
            or (self.power is not None and self.power <= 0)
        ):
            raise ValueError(
                "steps and eval_every must be at least 1, lr and power above 0, "
                f"got {self.steps}, {self.eval_every}, {self.lr} and {self.power}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Descend."""
        splits = self.dataset.load(context.data_dir, context.seed)
        seed_generators(context.seed)
        model = self.model(inputs=self.dataset.inputs, classes=self.dataset.classes)
        context.begin(
            Description(
                steps=self.steps,
                sizes=splits.sizes,
                data_fingerprint=splits.fingerprint(),
                notes=splits.notes,
            )
        )
        prepare, loss = self.dataset.inputs.prepare, self.dataset.criterion.loss
        batch = Batch(prepare(splits.train.x), splits.train.y, torch.arange(len(splits.train)))
        x_test = prepare(splits.test.x)
        before, increase, rate = float("inf"), 0.0, self.lr
        row: dict[str, float] = {}
        for step in range(self.steps + 1):
            context.stop.check()
            with measuring(model):
                landscape = Landscape(model, loss, batch)
                now = float(landscape.value())
                if not math.isfinite(now):
                    now = DIVERGED
                increase, before = max(increase, now - before), now
                if step % self.eval_every == 0 or step == self.steps or now == DIVERGED:
                    with torch.no_grad():
                        logits = as_output(model(x_test)).logits
                    row = {
                        "train_loss": now,
                        "test_accuracy": accuracy(logits, splits.test.y),
                        "step_size": rate,
                        "largest_increase": increase,
                    }
                    context.log(step, row)
                    context.show(step, now)
                if step == self.steps or now == DIVERGED:
                    break
                gradient = landscape.gradient()
                rate = self.rate(landscape, gradient)
            with torch.no_grad():
                for w, part in zip(landscape.parameters.values(), landscape.parts(gradient), strict=True):
                    w.sub_(part, alpha=rate)
        return row

    def rate(self, landscape: Landscape, gradient: torch.Tensor) -> float:
        """The learning rate of the next step."""
        if self.power is None:
            return self.lr
        along = landscape.hessian_vector(gradient / gradient.norm().clamp_min(1e-30))
        return min(self.lr, 2 / max(float(along.norm()) ** self.power, 1e-30))
