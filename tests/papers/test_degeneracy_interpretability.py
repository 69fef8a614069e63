"""Ranks of what a network computes."""

from __future__ import annotations

from regrun.papers.degeneracy_interpretability import rank_of
from samples import double


def test_ranks_have_a_relative_cut() -> None:
    a = double(30, 4) @ double(4, 10, seed=1)
    assert rank_of(a) == rank_of(1e-8 * a) == 4
