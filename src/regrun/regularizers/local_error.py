"""A penalty on the error of one more step, at a random time."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Step, Task
from regrun.models.dynamics import dynamics_of, solution_of
from regrun.regularizers.annealed import AnnealedPenalty
from regrun.solvers import Solution


class LocalError(AnnealedPenalty):
    """Penalizes ``E h`` of one step from the solution at a random time, whose state counts as a constant.

    The step is as long as the accepted one that contains the time. Works with every way of finding gradients,
    because only this one step is differentiated. Pal et al., *Locally Regularized Neural Differential
    Equations*, arXiv 2303.02262. Between the steps of a stochastic equation there is no solution; there the
    step begins where the one that contains the time did.

    Args:
        biased: whether the time is drawn among the steps' ends, of which there are more where the dynamics
            are hard; otherwise uniformly over the interval.
        initial: the weight at the first step.
        final: the weight at the last step; the same if not given.
        steps: number of training steps.
    """

    def __init__(
        self, biased: bool = False, initial: float = 0.2, final: float | None = 0.1, steps: int = 1000
    ) -> None:
        super().__init__(initial, final, steps)
        self.biased = biased

    def attach(self, task: Task) -> None:
        """Ask for the accepted steps."""
        dynamics_of(task.model).want_segments()

    def measure(self, step: Step) -> Tensor:
        with torch.no_grad():
            t, h, y = self.draw(solution_of(step.output.aux))
        return dynamics_of(step.task.model).local_error(t, h, y) * abs(h)

    def draw(self, solution: Solution) -> tuple[float, float, Tensor]:
        """A time, the length of the accepted step there, and the state."""
        segments = solution.segments
        if self.biased:
            place = int(torch.randint(len(segments) + 1, ()))
            if place == len(segments):
                last = segments[-1]
                return last.t + last.h, last.h, solution.last
            return segments[place].t, segments[place].h, segments[place].y
        share = float(torch.rand(()))
        first, last = segments[0], segments[-1]
        t = first.t + share * (last.t + last.h - first.t)
        found = solution.segment(t)
        if found.method is None:
            return found.t, found.h, found.y
        return t, found.h, found(t)
