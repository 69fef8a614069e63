"""Limits of teaching, against theory."""

from __future__ import annotations

import numpy as np
import pytest

from regrun.papers.knowledge_transfer_limits import (
    LEARNERS,
    draw,
    fit_gap,
    hard_instance,
    normalized,
    total_variation,
)


def test_every_learner_gives_distributions_and_full_teaching_is_exact_where_something_was_seen() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.dirichlet(np.ones(5), 4)
    counts = draw(rng, np.full(4, 0.25), teacher, 6, 50)
    assert counts.sum() == 300
    for name, learn in LEARNERS.items():
        p = learn(counts, teacher)
        np.testing.assert_allclose(p.sum(-1), 1)
        assert (p >= 0).all()
        unseen = counts.sum(-1) == 0
        np.testing.assert_allclose(p[unseen], 0.2)
        if name == "full":
            np.testing.assert_allclose(p[~unseen], np.broadcast_to(teacher, p.shape)[~unseen])
        if name == "partial":
            np.testing.assert_allclose(p[counts > 0], np.broadcast_to(teacher, p.shape)[counts > 0])


def test_weighted_labels_tend_to_the_square() -> None:
    rng = np.random.default_rng(0)
    teacher = rng.dirichlet(np.ones(5), 4)
    even = np.full(4, 0.25)
    counts = draw(rng, even, teacher, 10_000_000, 1)
    learnt = LEARNERS["weighted"](counts, teacher)
    assert float(total_variation(learnt, normalized(teacher**2), even)[0]) < 2e-3
    assert fit_gap(draw(rng, even, teacher, 200, 1)[0], teacher) < 1e-3


@pytest.mark.parametrize("name", ["labels", "partial", "full"])
def test_hard_instances_are_distributions(name: str) -> None:
    weights, teacher = hard_instance(name, 300)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(teacher.sum(1), 1)
