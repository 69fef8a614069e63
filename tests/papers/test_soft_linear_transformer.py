"""The iterated inverse, by the closed form of its error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel

from regrun.papers.soft_linear_transformer import NewtonCheck
from samples import unrecorded


@pytest.mark.parametrize("iterations", [1, 3, 20])
def test_newtons_error_is_squared_in_each_round(iterations: int) -> None:
    """``I - Y A`` after ``k`` rounds is the ``2^k``-th power of what it was, ``I - 1.8 A^2 / |A|^2``."""
    check = NewtonCheck(tokens=5, width=16, kernels=4, iterations=iterations)
    found = check(unrecorded())  # type: ignore[arg-type]
    drawn = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors, conditions = [], []
    for x in drawn.numpy():
        a = rbf_kernel(x, gamma=1 / 8)  # 2 sqrt(16)
        values = np.linalg.eigvalsh(a)
        left = values * (1 - 1.8 * values**2 / np.abs(a).sum(0).max() ** 2) ** (2**iterations)
        errors.append(np.linalg.norm(left) / np.linalg.norm(values))
        conditions.append(values.max() / values.min())
    assert found["condition"] == pytest.approx(max(conditions))
    assert found["inverse_error"] == pytest.approx(max(errors), rel=1e-6, abs=1e-14)
    if iterations == 20:
        assert found["gradient_error"] < 1e-10
