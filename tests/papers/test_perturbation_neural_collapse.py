"""Features without a network: collapsed ones, and the best head."""

from __future__ import annotations

import torch

from regrun.papers.perturbation_neural_collapse import UnconstrainedFeatures
from samples import double


def test_collapsed_features_stay_collapsed() -> None:
    problem = UnconstrainedFeatures(noise=0.1, samples=5, width=6, alternations=200)
    means = double(6, 4)[:, problem.labels]
    assert problem.nc1(problem.minimizer(means, 0.1)) < 1e-20
    # The head is the minimizer of its ridge regression.
    w = problem.head(means).requires_grad_()
    fit = (w @ means - problem.y).square().sum() / (2 * 20) + 0.02 / 8 * w.square().sum()
    (gradient,) = torch.autograd.grad(fit, w)
    assert float(gradient.abs().max()) < 1e-12
