"""Errors of a solve, with the place and a remedy."""

from __future__ import annotations

from regrun.errors import UserError


class SolverError(UserError):
    """A solver gave up.

    Attributes:
        t: the time it had reached.
        h: the step it was trying.
    """

    def __init__(self, what: str, t: float, h: float, advice: str) -> None:
        self.t = t
        self.h = h
        super().__init__(f"{what} at t = {t:.6g} with a step of {h:.3g}; {advice}")


class StepSizeUnderflowError(SolverError):
    """No step that the floating-point format can tell from zero meets the tolerance."""

    def __init__(self, t: float, h: float) -> None:
        advice = "loosen rtol and atol, compute in float64, or look for a discontinuity there"
        super().__init__("the step size underflows", t, h, advice)


class NonFiniteFieldError(SolverError):
    """The vector field, or the state, became infinite or not a number, however small the step.

    Attributes:
        entry: the first index of the state where it did.
    """

    def __init__(self, t: float, h: float, entry: tuple[int, ...]) -> None:
        self.entry = entry
        advice = "the solution may blow up; try a smaller learning rate, a bounded field, or weight decay"
        super().__init__(f"the vector field is not finite in entry {entry} of the state", t, h, advice)


class MaxStepsError(SolverError):
    """The end was not reached within the allowed number of steps."""

    def __init__(self, t: float, h: float, max_steps: int) -> None:
        advice = "raise max_steps, loosen rtol and atol, or penalize the field's stiffness"
        super().__init__(f"{max_steps} steps did not reach the end: the solver is", t, h, advice)


class UnsupportedGradientError(UserError, NotImplementedError):
    """A derivative was asked for that this way of passing gradients does not have."""


class ToleranceWarning(UserWarning):
    """Raised if the tolerance is below the resolution of the floating-point format."""
