"""The cost and the difficulty of solving a differential equation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.output import Output
from regrun.contracts.task import Task
from regrun.models.dynamics import dynamics_of, solution_of
from regrun.probes.base import Probe, ProbeError, Trial


def need_solution(trial: Trial) -> Any:
    """The solution of the model's differential equation.

    Raises:
        ProbeError: if it solves none.
    """
    try:
        return solution_of(trial.output.aux)
    except ValueError as error:
        raise ProbeError(str(error)) from error


class SolverCost(Probe):
    """Counts evaluations of the field, and sums up what the solver saw on the test split.

    ``test_nfe``: evaluations per batch of the test split, all of one size but the last. ``train_nfe``:
    evaluations per training step, since the last evaluation. ``solver_error``: ``mean_j E_j |h_j|`` over the
    accepted steps, ``E_j`` in units of the tolerance. ``stiffness``: the largest estimate over them (``nan``
    for methods without). Pal et al., arXiv 2105.03918.
    """

    metrics = ("test_nfe", "train_nfe", "solver_error", "stiffness")
    split = "test"
    seen: Tensor  # solves and evaluations of training at the last evaluation

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[float, float, float]] = []
        self.register_buffer("seen", torch.zeros(2, dtype=torch.int64))

    def attach(self, task: Task, trial: Trial) -> None:
        need_solution(trial)

    def update(self, batch: Batch, output: Output, clean: Tensor) -> None:
        """Look at one solve."""
        found = solution_of(output.aux).statistics
        lengths = found.h.abs().to(found.error)
        stiffness = float("nan") if found.stiffness is None else float(found.stiffness.max())
        error = float((found.error * lengths)[found.taken].mean())
        self.rows.append((found.mean_evaluations, error, stiffness))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        dynamics = dynamics_of(task.model)
        now = torch.stack([dynamics.solves, dynamics.evaluations])
        solves, evaluations = (now - self.seen).tolist()
        self.seen = now
        nfe, errors, stiffness = zip(*self.rows, strict=True)
        self.rows.clear()
        return {
            "test_nfe": sum(nfe) / len(nfe),
            "train_nfe": evaluations / solves if solves else float("nan"),
            "solver_error": sum(errors) / len(errors),
            "stiffness": max(stiffness),
        }
