"""Label proportions: their documents, how they are fitted, and how far apart they are."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from regrun.losses import SparsemaxLoss, ZLoss
from regrun.papers.sparsemax import LabelProportions, documents, jensen_shannon


def test_documents_have_one_to_four_labels_and_their_words() -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.eye(10, 500)  # each label has one word of its own
    for uniform in (True, False):
        found = documents(400, 2000, uniform, words, generator)
        count = (found.q > 0).sum(1)
        assert set(count.tolist()) == {1, 2, 3, 4}
        torch.testing.assert_close(found.q.sum(1), torch.ones(400))
        torch.testing.assert_close(found.x[:, :10], found.q, atol=0.06, rtol=0)
        largest = found.q.amax(1)
        assert bool((largest * count - 1).abs().max() < 1e-5) == uniform


def test_proportions_are_fitted_to_the_optimum() -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.distributions.Dirichlet(torch.full((500,), 0.1)).sample((10,))
    data = documents(60, 2000, True, words, generator)
    task = LabelProportions(SparsemaxLoss(), samples=300)

    def slope(weights: Tensor) -> float:
        weights = weights.clone().requires_grad_()
        loss = task.loss(data.x * 500 @ weights, data.q).mean() + 0.05 * weights.square().sum()
        return float(torch.autograd.grad(loss, weights)[0].norm())

    assert slope(task.train(data, 0.1)) < 3e-4 * slope(torch.zeros(500, 10))
    with pytest.raises(ValueError, match="take probabilities"):
        LabelProportions(ZLoss())


def test_the_divergence_of_sparse_probabilities_is_scipys() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]])
    q = torch.tensor([[0.2, 0.3, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [0.25, 0.75, 0.0, 0.0]])
    distances = jensenshannon(p.double(), q.double(), axis=1)  # the square roots of divergences
    expected = torch.from_numpy(distances**2)
    torch.testing.assert_close(jensen_shannon(p.double(), q.double()), expected, rtol=0, atol=1e-7)
    assert float(jensen_shannon(p, q)[1]) == pytest.approx(math.log(2))
