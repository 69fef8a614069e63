"""Bases of hidden states, by what defines them."""

from __future__ import annotations

import torch

from regrun.measures.interaction_basis import local_interaction_basis, principal_basis
from samples import double, with_constant


def test_a_basis_is_exact_and_diagonalizes() -> None:
    f = with_constant(double(200, 5))
    j = double(3, 6, seed=1)
    basis = local_interaction_basis(f, j.T @ j)
    assert len(basis) == 3  # what the Jacobian does not see is dropped
    torch.testing.assert_close(f @ basis.projection(3) @ j.T, f @ j.T)
    features = f @ basis.change
    gram = features.T @ features / len(f)
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-9, rtol=0)
    inner = basis.back @ j.T @ j @ basis.back.T  # features react independently
    torch.testing.assert_close(inner, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    principal = principal_basis(f)
    torch.testing.assert_close(f @ principal.projection(6), f)
