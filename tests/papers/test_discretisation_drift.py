"""Flows that descent follows, and descent at a rate by the curvature."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from regrun.data import Batch
from regrun.measures.landscape import Landscape
from regrun.measures.looking import measuring
from regrun.models import Output
from regrun.papers.discretisation_drift import DriftOrder, FullBatchDescent, QuadraticFlows
from regrun.papers.discretisation_drift.flows import flow
from samples import double, unrecorded


def test_a_flow_is_solved_to_fourth_order() -> None:
    start = double(3)
    exact = start * math.exp(-1.0)
    errors = [float((flow(lambda w: w, start, 1.0, n) - exact).norm()) for n in (5, 10)]
    assert 12 < errors[0] / errors[1] < 20


def test_descent_on_a_quadratic_is_the_principal_flow() -> None:
    found = QuadraticFlows(steps=10)(unrecorded())  # type: ignore[arg-type]
    assert found["worst_principal_error"] < 1e-12
    # For small h the others are off by h^2 / 2 and h^3 / 3 times t exp(-h t), most near t = 1 / h.
    assert found["ngf_error/curvature=0.1"] == pytest.approx(0.1**2 / 2 * 10 * math.exp(-1), rel=0.1)
    assert found["igr_error/curvature=0.1"] == pytest.approx(0.1**3 / 3 * 10 * math.exp(-1), rel=0.2)


def test_the_modified_flow_is_of_one_order_more() -> None:
    found = DriftOrder(time=0.5, flow_steps=10, hidden=2, samples=5)(unrecorded())  # type: ignore[arg-type]
    assert found["ngf_order"] == pytest.approx(1, abs=0.1)
    assert found["igr_order"] == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("power", [None, 1.0, 0.5])
def test_the_adjusted_rate_is_by_the_curvature_along_the_gradient(power: float | None) -> None:
    """The Hessian of the squared error of a linear map is known."""
    model = nn.Linear(4, 1, bias=False).double()
    x, y = double(30, 4), double(30, 1, seed=1)

    def loss(output: Output, batch: Batch) -> Tensor:
        return (output.logits - batch.y).square().mean() / 2

    hessian = x.T @ x / 30
    gradient = (hessian @ model.weight[0] - x.T @ y[:, 0] / 30).detach()
    curvature = float((hessian @ gradient).norm() / gradient.norm())
    descent = FullBatchDescent(None, None, 1, lr=100.0, power=power)  # type: ignore[arg-type]
    capped = FullBatchDescent(None, None, 1, lr=0.01, power=power)  # type: ignore[arg-type]
    with measuring(model):
        landscape = Landscape(model, loss, Batch(x, y, torch.arange(30)))
        torch.testing.assert_close(landscape.gradient(), gradient)
        found = descent.rate(landscape, landscape.gradient())
        assert capped.rate(landscape, landscape.gradient()) == 0.01
    assert found == pytest.approx(100.0 if power is None else 2 / curvature**power)
