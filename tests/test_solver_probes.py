"""What is measured of a differential equation and its solver."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from equations import START, FakeTask, linear_model, neural_ode
from regrun.data import Batch
from regrun.models import Output
from regrun.models.dynamics import solution_of
from regrun.probes import SolverCost, SolverProfile
from regrun.regularizers import (
    SolverErrorPenalty,
)


def test_the_cost_probe_counts_what_the_field_is_called() -> None:
    model = neural_ode()
    calls = 0

    def count(*arguments: Any) -> None:
        nonlocal calls
        calls += 1

    model.dynamics.field.register_forward_hook(count)
    probe = SolverCost()
    model.train()
    model(START)
    model(START)
    trained, calls = calls, 0
    model.eval()
    batch = Batch(START, torch.zeros(2), torch.arange(2))
    output = model(START)
    probe.update(batch, output, batch.y)
    found = probe.compute(FakeTask(model))  # type: ignore[arg-type]
    assert found["test_nfe"] == calls
    assert found["train_nfe"] == trained / 2
    seen = solution_of(output.aux).statistics
    assert found["stiffness"] == float(seen.stiffness.max())
    assert found["solver_error"] == pytest.approx(float((seen.error * seen.h).mean()))
    probe.update(batch, model(START), batch.y)
    assert math.isnan(probe.compute(FakeTask(model))["train_nfe"])  # type: ignore[arg-type]


def test_the_profile_probe_reads_the_step_at_each_time() -> None:
    model = linear_model(-0.5 * torch.eye(3, dtype=torch.float64), SolverErrorPenalty()).eval()
    probe = SolverProfile(points=4)
    output: Output = model(START)
    probe.update(Batch(START, START, torch.arange(2)), output, START)
    found = probe.compute(FakeTask(model))  # type: ignore[arg-type]
    assert {name.split("/")[0] for name in found} == set(probe.metrics)
    assert [name.split("/")[1] for name in found if name.startswith("step_size")] == [
        "0.125",
        "0.375",
        "0.625",
        "0.875",
    ]
    seen = solution_of(output.aux)
    segment = seen.segment(0.375)
    assert found["step_size/0.375"] == segment.h
    assert found["local_stiffness/0.375"] == pytest.approx(0.5, rel=1e-5)
    ahead = START * math.exp(-0.5 * (segment.t + segment.h))
    assert found["flow_distance/0.375"] == pytest.approx(
        float((ahead - START).square().mean().sqrt()), rel=1e-6
    )
