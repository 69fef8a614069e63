"""Flows that descent follows."""

from __future__ import annotations

import math

from regrun.papers.discretisation_drift.flows import flow
from samples import double


def test_a_flow_is_solved_to_fourth_order() -> None:
    start = double(3)
    exact = start * math.exp(-1.0)
    errors = [float((flow(lambda w: w, start, 1.0, n) - exact).norm()) for n in (5, 10)]
    assert 12 < errors[0] / errors[1] < 20
