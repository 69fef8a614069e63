"""Interaction bases of a network, and its edges."""

from __future__ import annotations

import pytest
import torch

from regrun.data import Features
from regrun.models import MLP
from regrun.papers.local_interaction_basis import Affine, all_bases, edge_share
from samples import with_constant


def test_a_network_folded_is_the_network() -> None:
    torch.manual_seed(0)
    model = MLP(Features((4,)), 3, hidden=(6, 5))
    x = torch.randn(2000, 4)
    net = Affine(model)
    first = with_constant(model.body[1](model.body[0](x)).double().detach())
    states = net.states(first)
    torch.testing.assert_close(states[-1].float(), model(x).logits.detach())
    torch.testing.assert_close(net.logits(first, 0), states[-1])
    slope = torch.func.vmap(torch.func.jacrev(lambda f: (f @ net.hidden[0]).relu()))(first[:20])
    slope[:, -1] = 0
    torch.testing.assert_close(net.jacobians(first[:20], 0), slope)
    for bases in all_bases(net, states)[:2]:  # the local basis is exact only where the kinks stay
        whole = net.logits(first @ bases[0].projection(len(bases[0])), 0)
        torch.testing.assert_close(whole, states[-1], atol=1e-3, rtol=1e-3)


def test_the_share_of_edges() -> None:
    assert edge_share(torch.tensor([[96.0, 1, 1, 1, 1]])) == pytest.approx(0.2)
    assert edge_share(torch.ones(100)) == pytest.approx(0.95)
