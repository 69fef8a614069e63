from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from regrun.data import Batch
from regrun.models import Output
from regrun.probes import GradientAlignment, LogitScale, SoftmaxCollapse, WeightNorms
from regrun.probes.softmax_collapse import is_collapsed


@pytest.mark.parametrize(
    ("dtype", "onset"), [(torch.float16, 7.62), (torch.float32, 16.64), (torch.float64, 36.74)]
)
def test_collapse_sets_in_where_rounding_does(dtype: torch.dtype, onset: float) -> None:
    z = torch.tensor([[onset - 0.1, 0.0], [onset + 0.1, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert is_collapsed(z, dtype).tolist() == [False, True, False]


def test_collapse_is_a_share_over_all_batches() -> None:
    probe = SoftmaxCollapse("float32")
    for margins in ([20.0, 1.0, 1.0], [30.0]):
        z = torch.tensor([[m, 0.0] for m in margins])
        y = torch.zeros(len(z))
        probe.update(Batch(z, y, torch.arange(len(z))), Output(z), y)
    assert probe.compute(SimpleNamespace()) == {"softmax_collapse": pytest.approx(0.5)}
    z = torch.zeros(1, 2)
    probe.update(Batch(z, torch.zeros(1), torch.arange(1)), Output(z), torch.zeros(1))
    assert float(probe.compute(SimpleNamespace())["softmax_collapse"]) == 0


def test_logit_scale_and_margin() -> None:
    z = torch.tensor([[3.0, -5.0, 1.0], [0.0, 2.0, 4.0]])
    probe = LogitScale()
    y = torch.tensor([0, 1])
    probe.update(Batch(z, y, torch.arange(2)), Output(z), y)
    values = probe.compute(SimpleNamespace())
    assert float(values["logit_scale"]) == pytest.approx((5 + 4) / 2)
    assert float(values["logit_margin"]) == pytest.approx((2 - 2) / 2)


def task_with_gradients(*pairs: tuple[list[float], list[float]]) -> SimpleNamespace:
    model = nn.ParameterList([nn.Parameter(torch.tensor(w)) for w, _ in pairs])
    for p, (_, g) in zip(model, pairs, strict=True):
        p.grad = torch.tensor(g)
    return SimpleNamespace(model=model)


def test_alignment_is_one_along_the_weights_and_zero_across() -> None:
    probe = GradientAlignment()
    assert probe.compute(SimpleNamespace()) == {}
    # A loss that falls as the weights grow has its gradient against them.
    probe.on_gradient(task_with_gradients(([1.0, 2.0], [-2.0, -4.0]), ([3.0, 0.0], [0.0, 5.0])))
    probe.on_edited_gradient(task_with_gradients(([1.0, 2.0], [-2.0, 1.0]), ([3.0, 0.0], [3.0, 3.0])))
    values = {name: float(value) for name, value in probe.compute(SimpleNamespace()).items()}
    assert values["gradient_weight_cosine/0"] == pytest.approx(1)
    assert values["gradient_weight_cosine/1"] == pytest.approx(0)
    assert values["gradient_weight_cosine"] == pytest.approx(10 / (14**0.5 * 45**0.5))
    assert values["edited_gradient_weight_cosine"] == pytest.approx(0.5**0.5)


def test_alignment_sees_the_direction_of_vanishing_gradients() -> None:
    probe = GradientAlignment()
    probe.on_gradient(task_with_gradients(([1.0, 1.0], [-1e-30, -1e-30])))
    assert float(probe.compute(SimpleNamespace())["gradient_weight_cosine"]) == pytest.approx(1)
    probe.on_gradient(task_with_gradients(([1.0, 1.0], [0.0, 0.0])))
    assert float(probe.compute(SimpleNamespace())["gradient_weight_cosine"]) == 0


def test_norms_add_up() -> None:
    model = nn.Linear(3, 4)
    values = WeightNorms().compute(SimpleNamespace(model=model))
    assert float(values["weight_norm"]) ** 2 == pytest.approx(
        float(values["weight_norm/weight"]) ** 2 + float(values["weight_norm/bias"]) ** 2
    )
    assert float(values["weight_norm/weight"]) == pytest.approx(model.weight.norm().item())
