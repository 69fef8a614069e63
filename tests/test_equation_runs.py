"""Runs of neural differential equations, and their mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Result, only_record
from regrun.records.record import Record

Command = Callable[..., Result]
ADJOINT = "model.solver.gradient._target_=regrun.solvers.ContinuousAdjoint"
TINY = (
    *("experiment=custom", "dataset=irregular_sinusoids", "dataset.samples=4", "dataset.test_samples=4"),
    *("model=latent_ode", "model.solver.rtol=1e-3", "model.solver.atol=1e-3", "dataset.points=5"),
    *("steps=4", "eval_every=2", "batch_size=2", "logger=csv"),
)


def test_a_run_on_series_reports_their_scores(regrun: Command, tmp_path: Path) -> None:
    result = regrun(*TINY, "regularizer=[latent_kl,solver_error]", "probe=[solver_cost,solver_profile]")
    assert result.code == 0, result.err
    metrics = Record(only_record(tmp_path)).result()["metrics"]
    assert {"train_loss", "test_loss", "test_mse", "test_nfe", "train_nfe", "stiffness"} <= metrics.keys()
    assert metrics["test_loss"] == pytest.approx(metrics["test_mse"] / (2 * 0.1**2))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.solver.max_steps=1",), "1 steps did not reach the end"),
        ((ADJOINT, "regularizer=solver_error"), "regularizer=local_error"),
        (("model=neural_ode",), "reads images"),
        (("experiment=grokking", "model=latent_ode"), "choose dataset=irregular_sinusoids"),
        (("experiment=grokking", "regularizer=steer"), "choose model=neural_ode"),
        ((f"{ADJOINT}s",), "no 'ContinuousAdjoints' in regrun.solvers"),
        (("regularizer=solver_error", "regularizer.solver_error.initial=-1"), "above 0"),
    ],
)
def test_mistakes_are_one_line(regrun: Command, words: tuple[str, ...], message: str) -> None:
    result = regrun(*(() if "experiment=grokking" in words else TINY), *words)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_forward_differentiation_does_not_warn_of_torch(regrun_afresh: Command) -> None:
    result = regrun_afresh(*TINY, "regularizer=[latent_kl,taynode]")
    assert result.code == 0, result.err
    assert "Warning" not in result.err
