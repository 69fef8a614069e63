"""Penalties whose weight falls, or rises, exponentially from the first step to the last."""

from __future__ import annotations

import math
from abc import abstractmethod

from torch import Tensor

from regrun.contracts.task import Step
from regrun.regularizers.base import Regularizer


class AnnealedPenalty(Regularizer):
    """``lambda(k) R`` with ``lambda(k) = initial (final / initial)^(k / steps)`` at step ``k``.

    Args:
        initial: the weight at the first step, at least 0.
        final: the weight at the last step; the same if not given.
        steps: number of training steps.
    """

    def __init__(self, initial: float, final: float | None, steps: int) -> None:
        super().__init__()
        last = initial if final is None else final
        if not (0 <= initial < math.inf and 0 <= last < math.inf) or (initial == 0) != (last == 0):
            raise ValueError(f"the weights of a penalty must be above 0, or both 0, got {initial} and {last}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.initial = initial
        self.final = last
        self.steps = steps

    def weight(self, number: int) -> float:
        """The weight after ``number`` steps."""
        if self.initial == 0:
            return 0.0
        return self.initial * (self.final / self.initial) ** min(number / self.steps, 1.0)

    @abstractmethod
    def measure(self, step: Step) -> Tensor:
        """The penalty, a scalar."""

    def penalty(self, step: Step) -> Tensor:
        return self.weight(step.number) * self.measure(step)
