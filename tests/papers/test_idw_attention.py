"""Keys that are images, by hand and in limits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from regrun.data import Features
from regrun.models.prototype_attention import KINDS, PrototypeAttention
from regrun.papers.idw_attention import PrototypeChecks, logits_at
from samples import double


@pytest.mark.parametrize("kind", KINDS)
def test_logits_of_one_input_are_the_models(kind: str) -> None:
    model = PrototypeAttention(Features((4,)), 3, keys=7, kind=kind).double()
    for x in double(5, 4):
        torch.testing.assert_close(logits_at(model, x), model(x[None]).logits[0])


def test_at_a_key_are_its_values() -> None:
    model = PrototypeAttention(Features((4,)), 3, keys=7, power=4.0)
    key = model.keys[2].detach()
    torch.testing.assert_close(logits_at(model, key), model.values[2].double(), atol=1e-6, rtol=0)


@torch.no_grad()
def test_images_that_become_keys_are_put_right() -> None:
    model = PrototypeAttention(Features((4,)), 3, keys=7)
    x = double(30, 4).float()
    before = model(x).logits.argmax(1)
    y = torch.where(torch.arange(30) % 3 == 0, (before + 1) % 3, before)  # every third is wrong
    keys, values = model.keys.clone(), model.values.clone()
    found = PrototypeChecks(SimpleNamespace(), edits=4).edited(model, x, y)  # type: ignore[arg-type]
    wrong = torch.tensor([0, 3, 6, 9])
    torch.testing.assert_close(model.keys, torch.cat([keys, x[wrong]]))
    torch.testing.assert_close(model.values[7:], values.abs().mean() * F.one_hot(y[wrong], 3))
    assert found["fixed"] == 1
    others = [k for k in range(30) if k not in (0, 3, 6, 9)]
    changed = model(x).logits.argmax(1)[others] != before[others]
    assert found["changed"] == pytest.approx(float(changed.double().mean()))
