"""Random end times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from regrun.contracts.task import Task
from regrun.models.dynamics import dynamics_of
from regrun.regularizers.base import Regularizer


class Steer(Regularizer):
    """Solves to a random end time in training: ``t_1 ~ U(t_1 - b, t_1 + b)``, in units of the interval.

    Where there are more times, each moves by up to half of ``b`` times the smaller gap to its neighbours,
    which keeps their order. Ghosh et al., *STEER: Simple temporal regularization for neural ODEs*, arXiv
    2006.10711.

    Args:
        spread: ``b``, in ``[0, 1)``.
    """

    def __init__(self, spread: float = 0.5) -> None:
        super().__init__()
        if not 0 <= spread < 1:
            raise ValueError(f"spread must lie in [0, 1), got {spread}")
        self.spread = spread

    def attach(self, task: Task) -> None:
        """Let the times be changed."""
        dynamics_of(task.model).jitter = self.jitter

    def jitter(self, times: Sequence[float]) -> Sequence[float]:
        """The times of one solve."""
        gaps = [after - before for before, after in pairwise(times)]
        if len(gaps) == 1:
            reach = [self.spread * gaps[0]]
        else:
            least = [min(gap, following, key=abs) for gap, following in pairwise([*gaps, gaps[-1]])]
            reach = [self.spread / 2 * gap for gap in least]
        shifts = (2 * torch.rand(len(gaps), dtype=torch.float64) - 1).tolist()
        return [times[0], *(t + r * s for t, r, s in zip(times[1:], reach, shifts, strict=True))]
