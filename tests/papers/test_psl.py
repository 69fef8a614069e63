"""Recommendation: rankings against scikit-learn, and a factorization that diverges."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score
from torch import Tensor

from regrun.data.feedback import Feedback
from regrun.errors import TrainingDivergedError
from regrun.papers.psl import MatrixFactorization, ndcg, rankings, recall
from samples import double, unrecorded


def test_ndcg_is_scikit_learns() -> None:
    scores = double(30, 50)
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


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_items_of_equal_score_share_their_places() -> None:
    """Against scikit-learn, which averages over the orders of ties, and whatever the items' order."""
    users, items = 40, 30
    scores = torch.randint(4, (users, items), generator=seeded()).double()
    liked, more = (torch.rand(users, items, generator=seeded(k)) < 0.2 for k in (1, 2))
    found = rankings(scores, SimpleNamespace(test=liked, validation=more))  # type: ignore[arg-type]
    assert found["ndcg"] == pytest.approx(ndcg_score(liked[liked.any(1)], scores[liked.any(1)], k=20))
    order = torch.randperm(items, generator=seeded())
    shuffled = SimpleNamespace(test=liked[:, order], validation=more[:, order])
    again = rankings(scores[:, order], shuffled)  # type: ignore[arg-type]
    assert again == pytest.approx(found)
    # All the same is chance: 20 of 30 are found.
    same = rankings(torch.zeros(users, items), SimpleNamespace(test=liked, validation=more))  # type: ignore[arg-type]
    assert same["recall"] == pytest.approx(20 / 30)
    scores[3, 4] = math.nan
    assert all(map(math.isnan, rankings(scores, SimpleNamespace(test=liked, validation=more)).values()))  # type: ignore[arg-type]


def test_a_factorization_that_diverges_says_so() -> None:
    generator = seeded()
    parts = [torch.rand(8, 30, generator=generator) < 0.3 for _ in range(3)]
    data = SimpleNamespace(load=lambda data_dir, seed: Feedback(*parts))
    shown: list[float] = []
    context = unrecorded()
    context.show = lambda step, loss: shown.append(loss)

    def loss(positive: Tensor, negatives: Tensor) -> Tensor:
        return (positive - negatives.mean(1)).mean() * (math.nan if len(shown) == 2 else 1)

    with pytest.raises(TrainingDivergedError, match="the loss became nan at step 3"):
        MatrixFactorization(data, loss, width=4, epochs=5, negatives=2)(context)  # type: ignore[arg-type]
    assert len(shown) == 2
