"""SDM layers: similarity, distance and magnitude, against scikit-learn, by hand and in limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

from regrun.papers.sdm import (
    DistanceQuantile,
    Neighbourhood,
    find_region,
    neighbourhood,
    rescaled_similarity,
    sdm,
)
from samples import double


def test_sdm_is_softmax_in_its_first_epoch_and_even_far_away() -> None:
    z = double(20, 5)
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
    support, y = double(60, 3, seed=1), torch.randint(2, (60,), generator=torch.Generator().manual_seed(2))
    known = torch.where(torch.arange(60) % 5 > 0, y, -1)
    h = support if skip else double(15, 3, seed=3)
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
