"""Penalties on an adaptive solver's statistics: error and stiffness estimates of its steps."""

from __future__ import annotations

from torch import Tensor

from regrun.contracts.task import Step, Task
from regrun.models.dynamics import dynamics_of, solution_of
from regrun.regularizers.annealed import AnnealedPenalty


class SolverErrorPenalty(AnnealedPenalty):
    """Penalizes the local error estimates: ``mean_j E_j |h_j|`` over the accepted steps.

    ``E_j`` is in units of the tolerance, as the solver compares it with 1; ``h_j`` counts as a constant.
    ERNODE of Pal et al., *Opening the Blackbox*, arXiv 2105.03918; the paper sums, the authors' code takes
    the mean. Needs gradients through the solver's steps.

    Args:
        initial: the weight at the first step.
        final: the weight at the last step; the same if not given.
        steps: number of training steps.
    """

    couples = True

    def __init__(self, initial: float = 0.1, final: float | None = None, steps: int = 1000) -> None:
        super().__init__(initial, final, steps)

    def attach(self, task: Task) -> None:
        """Ask the solver for differentiable errors."""
        dynamics_of(task.model).want_statistics(stiffness=False)

    def measure(self, step: Step) -> Tensor:
        seen = solution_of(step.output.aux).statistics
        lengths = seen.h.abs().to(seen.error)
        return (seen.error * lengths)[seen.taken].mean()


class SolverStiffnessPenalty(AnnealedPenalty):
    """Penalizes the largest stiffness estimate: ``max_j S_j / s``, with the stability interval ``s``.

    ``S_j`` is the ratio of differences of the last two stages of an accepted step, both at its end. SRNODE of
    Pal et al., arXiv 2105.03918; the largest and not the sum, as in the authors' code. Needs gradients
    through the solver's steps.

    Args:
        initial: the weight at the first step.
        final: the weight at the last step; the same if not given.
        steps: number of training steps.
    """

    couples = True

    def __init__(self, initial: float = 0.35, final: float | None = None, steps: int = 1000) -> None:
        super().__init__(initial, final, steps)

    def attach(self, task: Task) -> None:
        """Ask the solver for differentiable estimates."""
        dynamics_of(task.model).want_statistics(stiffness=True)

    def measure(self, step: Step) -> Tensor:
        seen = solution_of(step.output.aux).statistics
        return seen.require_stiffness().max() / (seen.stability or 1.0)
