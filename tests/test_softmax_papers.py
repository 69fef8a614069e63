"""Parts of the papers on softmax: words, prototypes, discrete variables, proportions, factored losses."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.data import Prototypes, ShakespeareWords, Tokens
from regrun.losses import SparsemaxLoss, ZLoss
from regrun.models import NeuralNGram
from regrun.papers.gumbel_softmax import CategoricalVAE, HalfPrediction, Sampler, discrete
from regrun.papers.sparsemax import LabelProportions, documents
from regrun.papers.z_loss import factored_z_loss
from regrun.probability_maps.gumbel_softmax import GumbelSoftmax, gumbel_noise, straight_through

HERE = Path()


# ------------------------------------------------------------------------- data


def test_prototypes_lie_around_unit_vectors() -> None:
    splits = Prototypes(classes=50, dimensions=8, noise=0.1, train=200, test=3).load(HERE, 0)
    assert splits.sizes == {"train samples": 10_000, "test samples": 150}
    means = torch.stack([splits.train.x[splits.train.y == c].mean(0) for c in range(50)])
    torch.testing.assert_close(means.norm(dim=1), torch.ones(50), atol=0.04, rtol=0)
    away = splits.train.x - means[splits.train.y]
    assert float(away.std()) == pytest.approx(0.1, rel=0.02)
    quiet = Prototypes(classes=50, dimensions=8, noise=0.0, train=1, test=1).load(HERE, 3)
    torch.testing.assert_close(quiet.train.x, quiet.test.x)


def play(tmp_path: Path) -> Path:
    text = "To be, or not to be: that is\n" * 40 + "the rest is silence!\n" * 40
    (tmp_path / "tinyshakespeare.txt").write_text(text)
    return tmp_path


def test_words_are_predicted_from_those_before_them(tmp_path: Path) -> None:
    dataset = ShakespeareWords(vocabulary=13, context=3, validation=20)
    splits = dataset.load(play(tmp_path), 0)
    assert splits.validation is not None
    assert len(splits.validation) == 20
    # 11 marks in a line of the first kind, 6 in one of the second; the last tenth is of the second.
    assert len(splits.train) + 20 == (40 * 11 + 40 * 6) * 9 // 10 - 3
    assert int(splits.train.y.max()) == 12
    # The test part repeats with a period of six.
    order = {tuple(x.tolist()): int(y) for x, y in zip(splits.test.x, splits.test.y, strict=True)}
    for x, y in zip(splits.test.x, splits.test.y, strict=True):
        assert order[tuple(x.tolist())] == int(y)
    with pytest.raises(ValueError, match="words, and vocabulary is 500"):
        ShakespeareWords(vocabulary=500).load(tmp_path, 0)
    with pytest.raises(ValueError, match="there is no"):
        ShakespeareWords().load(tmp_path / "nowhere", 0)


@pytest.mark.skipif("REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where data files lie")
def test_shakespeare_has_words_enough() -> None:
    splits = ShakespeareWords(train_limit=100, test_limit=50).load(Path(os.environ["REGRUN_DATA"]), 0)
    assert splits.sizes == {"train samples": 100, "test samples": 50}
    assert "unknown" in splits.notes[0]


def test_an_ngram_reads_its_words_in_order() -> None:
    torch.manual_seed(0)
    model = NeuralNGram(Tokens(9, 3), 9, embedding=4, hidden=5)
    x = torch.tensor([[1, 2, 3], [3, 2, 1]])
    output = model(x)
    assert output.logits.shape == (2, 9)
    assert not torch.allclose(output.logits[0], output.logits[1])
    torch.testing.assert_close(output.logits, output.features @ model.head.weight.T)


# --------------------------------------------------------------- the spherical family


def test_the_z_loss_needs_no_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    head, h = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (300, 40))
    y = torch.randint(300, (40,), generator=generator)
    loss = ZLoss(0.4, 5.0)
    factored = factored_z_loss(h, head, y, head.mean(0), head.T @ head / 300, 0.4, 5.0)
    torch.testing.assert_close(factored, loss(h @ head.T, y))


# ------------------------------------------------------------------ discrete variables


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gumbel_noise_has_its_distribution(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    g = gumbel_noise(torch.empty(200_000, dtype=dtype))
    assert g.isfinite().all()
    assert float(g.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(g.std()) == pytest.approx(math.pi / 6**0.5, rel=0.01)


def test_gumbel_samples_are_pytorchs_and_hard_ones_have_the_soft_gradient() -> None:
    z = torch.randn(1, 5, generator=torch.Generator().manual_seed(0)).expand(100_000, 5)
    torch.manual_seed(0)
    ours, theirs = GumbelSoftmax(0.7)(z), F.gumbel_softmax(z, tau=0.7)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=5e-3, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=5e-3, rtol=0)
    shares = GumbelSoftmax(0.7, hard=True)(z).mean(0)
    torch.testing.assert_close(shares, z[0].softmax(0), atol=6e-3, rtol=0)
    soft = torch.rand(4, 5, requires_grad=True)
    weight = torch.randn(4, 5)
    (straight_through(soft) * weight).sum().backward()
    torch.testing.assert_close(soft.grad, weight)
    assert (straight_through(soft.detach()).sum(1) == 1).all()


def test_cold_samples_are_one_hot_and_hot_ones_even() -> None:
    torch.manual_seed(0)
    z = torch.randn(500, 6)
    assert float(GumbelSoftmax(0.01)(z).amax(1).mean()) > 0.98
    torch.testing.assert_close(GumbelSoftmax(1e4)(z), torch.full((500, 6), 1 / 6), atol=1e-2, rtol=0)
    with pytest.raises(ValueError, match="above 0"):
        GumbelSoftmax(0)


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


# ------------------------------------------------------------------------- proportions


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
