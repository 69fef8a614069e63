"""SDM layers, balanced heads, rankings, attention patterns: definitions, limits, and scikit-learn."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from regrun.contracts.output import as_output
from regrun.data import BackCopy, Samples, Splits
from regrun.data.feedback import Feedback, LatentTastes, MovieLens100k
from regrun.losses import BayesianRanking, PairwiseSoftmax
from regrun.measures.outliers import kurtosis
from regrun.models import SmallTransformer
from regrun.models.attention import DotProductAttention
from regrun.papers.psl import ndcg, rankings, recall
from regrun.papers.sdm import (
    DistanceQuantile,
    Neighbourhood,
    find_region,
    neighbourhood,
    rescaled_similarity,
    sdm,
)
from regrun.papers.softpick import rounded
from regrun.papers.wcdas import class_accuracies
from regrun.probability_maps import Softpick
from regrun.probes import AttentionPatterns

HERE = Path()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -------------------------------------------------------------- similarity, distance, magnitude


def test_sdm_is_softmax_in_its_first_epoch_and_even_far_away() -> None:
    z = drawn(20, 5)
    first = sdm(z, torch.full((20,), math.e - 2, dtype=torch.float64), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(first, z.log_softmax(1))
    far = sdm(z, torch.full((20,), 50.0, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)).exp()
    torch.testing.assert_close(far, torch.full_like(far, 0.2))
    # The base grows with the similarity, and with it the certainty of the same prediction.
    few, many = (
        sdm(z, torch.full((20,), q, dtype=torch.float64), torch.ones(20, dtype=torch.float64)).amax(1)
        for q in (1.0, 100.0)
    )
    assert bool((many > few).all())


@pytest.mark.parametrize("skip", [False, True])
def test_similarity_counts_agreeing_neighbours_up_to_the_first_that_does_not(skip: bool) -> None:
    support, y = drawn(60, 3, seed=1), torch.randint(2, (60,), generator=torch.Generator().manual_seed(2))
    known = torch.where(torch.arange(60) % 5 > 0, y, -1)
    h = support if skip else drawn(15, 3, seed=3)
    z = F.one_hot(torch.arange(len(h)) % 2, 2).double()
    found = neighbourhood(h, z, support, known, skip)
    distances, near = NearestNeighbors(n_neighbors=60).fit(support.numpy()).kneighbors(h.numpy())
    for k in range(len(h)):
        order = near[k, int(skip) :]
        count = 0
        while count < len(order) and known[order[count]] == k % 2:
            count += 1
        assert int(found.similarity[k]) == count
        assert float(found.distance[k]) == pytest.approx(distances[k, int(skip)], abs=1e-6)


def test_distance_quantiles_are_the_least_share_of_a_class_that_is_further() -> None:
    around = Neighbourhood(torch.tensor([1.0, 2, 0, 1, 1]), torch.tensor([1.0, 2, 9, 1.5, 3]).double())
    y = torch.tensor([0, 0, 0, 1, 1])
    quantile = DistanceQuantile(around, y, 2)
    # Class 0 has distances 1 and 2 (9 has no agreeing neighbour), class 1 has 1.5 and 3.
    expected = {0.5: 1.0, 1.0: 1.0, 1.2: 0.5, 1.7: 0.5, 2.5: 0.0, 5.0: 0.0}
    found = quantile(torch.tensor(list(expected)).double())
    assert found.tolist() == list(expected.values())
    assert DistanceQuantile(around, torch.zeros(5, dtype=torch.long), 2)(torch.tensor([0.1]).double()) == 0


def test_a_region_is_where_nearly_all_of_each_class_are_sure_of_it() -> None:
    # Two classes; points of low similarity are unsure, those of high similarity are sure.
    sure = torch.tensor([[0.99, 0.01], [0.01, 0.99]]).double().repeat(50, 1)
    unsure = torch.tensor([[0.6, 0.4], [0.4, 0.6]]).double().repeat(50, 1)
    p, y = torch.cat([unsure, sure]), torch.arange(200) % 2
    q = torch.cat([torch.full((100,), 2.0), torch.full((100,), 50.0)]).double()
    region = find_region(p, q, y)
    assert float(rescaled_similarity(p[:1].amax(1), q[:1])) < region.least <= 50
    assert region.thresholds.tolist() == pytest.approx([0.99, 0.99])
    assert torch.equal(region.admits(p, q), torch.arange(200) >= 100)
    nowhere = find_region(unsure, q[:100], y[:100])
    assert nowhere.least == math.inf
    assert not bool(nowhere.admits(p, q).any())


# ------------------------------------------------------------------------------ long tails


def test_class_accuracies_are_of_each_class() -> None:
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
    z = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert class_accuracies(head, z, torch.tensor([0, 0, 1, 1]), 2).tolist() == [0.5, 1.0]
    assert class_accuracies(head, z, torch.zeros(4, dtype=torch.long), 2)[1].isnan()


# -------------------------------------------------------------------------------- rankings


@pytest.mark.parametrize("surrogate", ["tanh", "relu", "arctan"])
def test_every_surrogate_lies_between_the_indicator_and_the_exponential(surrogate: str) -> None:
    d = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    # At a temperature of 1 the loss of a single negative is the surrogate's logarithm.
    loss = PairwiseSoftmax(surrogate, 1.0)
    found = torch.stack([loss(torch.zeros(1).double(), value.view(1, 1)).exp() for value in d])
    assert bool((found <= d.exp() + 1e-7).all())
    assert bool((found >= (d >= 0).double() - 1e-12).all())


def test_the_exponential_is_softmax_loss_over_the_negatives() -> None:
    positive, negatives = drawn(7) / 4, drawn(7, 9, seed=1) / 4
    expected = torch.logsumexp((negatives - positive[:, None]) / 0.2, 1) - math.log(9)
    torch.testing.assert_close(PairwiseSoftmax("exp", 0.2)(positive, negatives), expected.mean())
    bpr = -F.logsigmoid((positive[:, None] - negatives) / 0.2).mean()
    torch.testing.assert_close(BayesianRanking(0.2)(positive, negatives), bpr)
    with pytest.raises(ValueError, match="surrogate must be one of"):
        PairwiseSoftmax("cosh")
    with pytest.raises(ValueError, match="temperature"):
        BayesianRanking(0.0)


def test_ndcg_is_scikit_learns() -> None:
    scores = drawn(30, 50)
    liked = torch.rand(30, 50, generator=torch.Generator().manual_seed(1)) < 0.2
    hits = liked.gather(1, scores.topk(20, 1).indices)
    assert ndcg(hits, liked) == pytest.approx(ndcg_score(liked.numpy(), scores.numpy(), k=20))
    nobody = Feedback(torch.zeros_like(liked), liked, liked)
    assert rankings(scores, nobody)["validation_ndcg"] == pytest.approx(ndcg(hits, liked))
    by_hand = [
        len({*np.flatnonzero(y)} & {*np.argsort(-s)[:20]}) / y.sum()
        for y, s in zip(liked.numpy(), scores.numpy(), strict=True)
    ]
    assert recall(hits, liked) == pytest.approx(float(np.mean(by_hand)))


def test_feedback_is_split_by_user_and_disjoint(tmp_path: Path) -> None:
    feedback = LatentTastes(users=40, items=90, most=40).load(HERE, 0)
    parts = torch.stack([feedback.train, feedback.validation, feedback.test]).long()
    assert int(parts.sum(0).amax()) == 1
    liked = parts.sum((0, 2))
    assert int(liked.amin()) >= 20
    assert int(liked.amax()) <= 40
    assert torch.equal(feedback.test.sum(1), (liked / 10).round().long())
    with pytest.raises(ValueError, match=r"there is no .*u\.data"):
        MovieLens100k().load(tmp_path, 0)
    (tmp_path / "ml-100k").mkdir()
    rows = [f"{user}\t{item}\t{rating}\t0" for user, item, rating in ((1, 1, 5), (1, 2, 3), (943, 1682, 4))]
    (tmp_path / "ml-100k" / "u.data").write_text("\n".join(rows))
    found = MovieLens100k().liked(tmp_path, torch.Generator())
    assert found.nonzero().tolist() == [[0, 0], [942, 1681]]


# ------------------------------------------------------------------------------- attention


def test_after_a_trigger_the_symbol_before_it_comes_again() -> None:
    splits = BackCopy(symbols=12, triggers=2, length=30, train=200, test=5).load(HERE, 0)
    x, y = splits.train.x, splits.train.y
    assert bool((x[:, 0] == 12).all())
    assert torch.equal(x[:, 1:], y[:, :-1])
    copies = (x[:, 2:] < 2) & (x[:, 1:-1] < 12)
    assert bool((y[:, 2:][copies] == x[:, 1:-1][copies]).all())
    assert int(copies.sum()) > 100
    assert int(y.amax()) < 12


def patterns(model: SmallTransformer, x: Tensor) -> dict[str, float]:
    samples = Samples(x, x, x)
    inputs = SimpleNamespace(prepare=lambda x: x)
    task = SimpleNamespace(model=model, inputs=inputs, splits_on_device=lambda: Splits(samples, samples))
    probe = AttentionPatterns(samples=len(x))
    probe.attach(task, SimpleNamespace())  # type: ignore[arg-type]
    return {name: float(value) for name, value in probe.compute(task).items()}  # type: ignore[arg-type]


def test_patterns_tell_sinks_and_zeros() -> None:
    torch.manual_seed(0)
    dataset = BackCopy(symbols=6, triggers=1, length=10, train=20, test=2)
    x = dataset.load(HERE, 0).train.x
    softmax, softpick = (
        SmallTransformer(dataset.inputs, dataset.classes, make, width=8, heads=2, layers=2)
        for make in (DotProductAttention, lambda: DotProductAttention(Softpick()))
    )
    even, rectified = patterns(softmax, x), patterns(softpick, x)
    assert even["zero_share"] == 0
    assert 0.2 < rectified["zero_share"] < 0.9
    assert rectified["sink_rate"] == 0
    assert even["sink_rate"] == 0  # an even spread over ten positions is no sink
    hidden = []
    hook = softmax.blocks[-1].register_forward_hook(lambda *seen: hidden.append(seen[2].detach()))
    as_output(softmax.eval()(x))
    hook.remove()
    assert even["largest_activation"] >= float(hidden[0].abs().amax()) - 1e-5
    assert kurtosis(drawn(200_000)) == pytest.approx(3, abs=0.05)
    assert kurtosis(torch.tensor([-1.0, 1.0])) == 1


def test_few_bits_have_few_values() -> None:
    weight = drawn(50, 50).float()
    for bits in (2, 3, 4):
        found = rounded(weight, bits)
        assert len(found.unique()) <= 2**bits - 1
        assert (
            float((found - weight).abs().amax())
            <= float(weight.abs().amax()) / (2 ** (bits - 1) - 1) / 2 + 1e-6
        )
    torch.testing.assert_close(rounded(weight, 20), weight, atol=1e-4, rtol=0)
