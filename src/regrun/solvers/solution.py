"""The result of a solve: states and statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.solvers.combination import combine
from regrun.solvers.tableaus import RungeKutta


@dataclass(frozen=True)
class Segment:
    """One accepted step, and its polynomial.

    Attributes:
        t: start of the step.
        h: its length, negative backward in time.
        y: the state it begins with.
        stages: the stages' derivatives.
        method: method of the dense output; ``None`` if there is none, as for stochastic equations.
    """

    t: float
    h: float
    y: Tensor
    stages: Sequence[Tensor]
    method: RungeKutta | None

    def __call__(self, t: float) -> Tensor:
        """The state at a time within the step.

        Raises:
            ValueError: if the method has no dense output.
        """
        if self.method is None:
            raise ValueError("a stochastic equation has no solution between its steps; ask for more times")
        theta = (t - self.t) / self.h
        if theta == 0:
            return self.y
        weights = [self.h * weight for weight in self.method.dense_weights(theta)]
        return combine(weights, self.stages, self.y)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a solve with ``N`` accepted steps or, with control per sample, ``N`` rounds.

    Attributes:
        evaluations: evaluations of the vector field; one number, or ``(batch,)`` with control per sample.
        accepted: steps, as ``evaluations``.
        rejected: steps, as ``evaluations``.
        t: starts of the steps, float64 ``(N,)`` or ``(N, batch)``.
        h: their sizes, negative backward in time, as ``t``.
        error: local error estimates in units of the tolerance, as ``t``; differentiable if asked for.
        stiffness: ``|k_s - k_(s-1)| / |g_s - g_(s-1)|`` of the last two stages, both at the end of a step:
            the Jacobian's norm in one direction, as ``t``; differentiable if asked for. ``None`` for methods
            without two such stages.
        taken: which entries are accepted steps, all of them unless control is per sample.
        stability: ``stiffness * |h|`` beyond this leaves the method's stability interval.
    """

    evaluations: int | Tensor
    accepted: int | Tensor
    rejected: int | Tensor
    t: Tensor
    h: Tensor
    error: Tensor
    stiffness: Tensor | None
    taken: Tensor
    stability: float

    @property
    def mean_evaluations(self) -> float:
        """Evaluations, averaged over samples with control per sample."""
        return float(torch.as_tensor(self.evaluations, dtype=torch.float64).mean())

    def require_stiffness(self) -> Tensor:
        """``stiffness``.

        Raises:
            ValueError: if the method has no estimate.
        """
        if self.stiffness is None:
            raise ValueError(
                "this method has no two stages at the end of a step to estimate stiffness from; "
                "choose Tsit5, Dopri5 or Dopri8"
            )
        return self.stiffness


@dataclass(frozen=True)
class Solution:
    """A solved equation.

    Attributes:
        times: requested times, float64 ``(T,)``.
        states: ``(T, *state)``, the initial state first.
        statistics: statistics of the solve.
        segments: the accepted steps, for ``at``, if asked for.
    """

    times: Tensor
    states: Tensor
    statistics: Statistics
    segments: Sequence[Segment] = ()

    @property
    def last(self) -> Tensor:
        """The state at the last of the times."""
        return self.states[-1]

    def segment(self, t: float) -> Segment:
        """The accepted step that contains a time; of two, the earlier.

        Raises:
            ValueError: if the segments were not kept, or the time lies outside.
        """
        if not self.segments:
            raise ValueError("the solution was not kept between its times; solve with dense=True")
        # Each ends where the next begins, the last at the last of the times: t + h may be off by a rounding.
        first, last = self.segments[0], self.segments[-1]
        end = max(float(self.times[-1]), last.t + last.h, key=lambda end: abs(end - first.t))
        ends = [*(segment.t for segment in self.segments[1:]), end]
        for segment, until in zip(self.segments, ends, strict=True):
            if min(segment.t, until) <= t <= max(segment.t, until):
                return segment
        raise ValueError(f"t = {t:.6g} lies outside of {first.t:.6g} to {end:.6g}")

    def at(self, t: float) -> Tensor:
        """The state at any time between the first and the last.

        Raises:
            ValueError: if the segments were not kept, or the time lies outside.
        """
        return self.segment(t)(t)
