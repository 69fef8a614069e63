"""Discrete variables: their gradient estimators, and bounds of the likelihood."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regrun.papers.gumbel_softmax import CategoricalVAE, HalfPrediction, Sampler, discrete


def test_the_score_function_is_unbiased() -> None:
    """Its gradient is, on average, that of the expectation, which two variables let one sum out."""
    torch.manual_seed(0)
    logits = torch.randn(1, 200, requires_grad=True)
    value = torch.randn(200)

    def reward(code: Tensor) -> Tensor:
        return (code * value).sum(-1)

    exact = (logits.view(20, 10).softmax(1) * value.view(20, 10)).sum()
    (expected,) = torch.autograd.grad(exact, logits)
    many = logits.expand(40_000, -1)
    sampler = Sampler("score_function", 1.0)
    code = sampler(many)
    advantage = reward(code.detach()) - exact.detach()
    (found,) = torch.autograd.grad((advantage * sampler.log_p).mean(), logits)
    assert float((found - expected).norm() / expected.norm()) < 0.1
    assert (code.view(-1, 20, 10).sum(-1) == 1).all()


@pytest.mark.parametrize("kind", [HalfPrediction, CategoricalVAE])
def test_the_bound_of_many_samples_is_no_looser(kind: type[HalfPrediction] | type[CategoricalVAE]) -> None:
    torch.manual_seed(0)
    model = kind()
    x = (torch.rand(30, 784) > 0.5).float()
    few, many = (float(model.evidence(x, samples).mean()) for samples in (1, 50))
    assert many >= few - 1
    assert model.log_likelihood(x, discrete).shape == (30,)
