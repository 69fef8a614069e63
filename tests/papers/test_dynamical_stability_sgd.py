"""How sharp a minimum is, against automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regrun.papers import dynamical_stability_sgd
from regrun.papers.dynamical_stability_sgd import StableMinimum
from regrun.procedures.small_sgd import descend
from samples import unrecorded


@pytest.mark.parametrize("diagonal", [False, True])
def test_sharpness_is_that_of_the_hessian_at_zero_loss(
    diagonal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, Any]] = []

    def spy(model: Any, x: Any, *rest: Any) -> Any:
        seen.append((model, x))
        return descend(model, x, *rest)

    monkeypatch.setattr(dynamical_stability_sgd, "descend", spy)
    minimum = StableMinimum(lr=0.02, diagonal=diagonal, width=6, samples=9, units=5, steps=50)
    found = minimum(unrecorded())  # type: ignore[arg-type]
    ((model, rows),) = seen
    x, y = torch.from_numpy(rows), torch.from_numpy(model.predict(rows))
    first, second = (model.u, model.v) if diagonal else (model.w, model.a)

    def loss(flat: Tensor) -> Tensor:
        a, b = flat[: first.size].view(first.shape), flat[first.size :]
        outputs = x @ (a.square() - b.square()) if diagonal else (x @ a.T).relu() @ b
        return (outputs - y).square().mean() / 2

    at = torch.from_numpy(np.concatenate([first.ravel(), second]))
    hessian = torch.func.hessian(loss)(at)
    assert found["hessian_trace"] == pytest.approx(float(hessian.trace()))
    assert found["sharpness"] == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]))
    assert found["sharpness_share"] == pytest.approx(found["sharpness"] * 0.02 / 2)


@pytest.mark.parametrize(("lr", "stays"), [(0.2, True), (0.3, False)])
def test_descent_stays_only_at_minima_that_are_stable(lr: float, stays: bool) -> None:
    """Those whose sharpness is at most ``2 / lr``."""
    minimum = StableMinimum(lr=lr, batch=None, diagonal=True, width=10, samples=8, steps=8000, floor=1e-20)
    found = minimum(unrecorded())  # type: ignore[arg-type]
    assert (found["train_loss"] < 1e-15) is stays
    if stays:
        assert 0.9 < found["sharpness_share"] <= 1
