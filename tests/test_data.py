from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import torch

from regrun.data import BatchList, BatchStream, ModularArithmetic, Samples, SparseParity
from regrun.data.modular_arithmetic import DIVISION, OPERATIONS, is_prime
from regrun.data.sparse_parity import draw_distinct

HERE = Path()
BY_HAND = {
    "a+b": lambda a, b, p: (a + b) % p,
    "a-b": lambda a, b, p: (a - b) % p,
    "a*b": lambda a, b, p: (a * b) % p,
    "a/b": lambda a, b, p: next(q for q in range(p) if q * b % p == a),
    "a^2+b^2": lambda a, b, p: (a * a + b * b) % p,
    "a^2+ab+b^2": lambda a, b, p: (a * a + a * b + b * b) % p,
    "a^2+ab+b^2+a": lambda a, b, p: (a * a + a * b + b * b + a) % p,
    "a^3+ab": lambda a, b, p: (a**3 + a * b) % p,
    "a^3+ab^2+b": lambda a, b, p: (a**3 + a * b * b + b) % p,
}


@pytest.mark.parametrize("operation", [*OPERATIONS, DIVISION])
@pytest.mark.parametrize("p", [7, 13])
def test_every_pair_once_with_its_label(operation: str, p: int) -> None:
    splits = ModularArithmetic(p, operation, train_fraction=0.37).load(HERE, seed=3)
    x = torch.cat([splits.train.x, splits.test.x]).tolist()
    y = torch.cat([splits.train.y, splits.test.y]).tolist()
    second = range(1, p) if operation == DIVISION else range(p)
    assert sorted(map(tuple, x)) == [(a, b) for a in range(p) for b in second]
    assert y == [BY_HAND[operation](a, b, p) for a, b in x]
    assert len(splits.train) == int(0.37 * len(x))


def test_the_papers_split_has_its_sizes() -> None:
    splits = ModularArithmetic().load(HERE, seed=0)
    assert (len(splits.train), len(splits.test)) == (5107, 7662)


def test_zero_can_be_left_out() -> None:
    dataset = ModularArithmetic(11, lowest=1)
    x, _ = dataset.table()
    assert x.min() == 1
    assert len(x) == 100


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.333, 1.0])
def test_label_corruption_has_its_rate_and_spares_the_test_split(rate: float) -> None:
    dataset = ModularArithmetic(31, label_corruption=rate)
    splits = dataset.load(HERE, seed=1)
    wrong = splits.train.y != splits.train.clean
    assert int(wrong.sum()) == round(rate * len(splits.train))
    assert (splits.train.clean == splits.train.x.sum(1) % 31).all()
    assert (splits.test.y == splits.test.x.sum(1) % 31).all()
    if rate == 1.0:  # every other class is as likely
        shift = (splits.train.y - splits.train.clean) % 31
        counts = torch.bincount(shift, minlength=31)
        assert counts[0] == 0
        assert ((counts[1:] - len(shift) / 30).abs() < 6 * (len(shift) / 30) ** 0.5).all()


@pytest.mark.parametrize("dataset", [ModularArithmetic(13), SparseParity(3, 8, 100)])
def test_the_seed_decides_the_data(dataset: ModularArithmetic | SparseParity) -> None:
    prints = [dataset.load(HERE, seed).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_sparse_parity_labels_distinct_strings() -> None:
    splits = SparseParity(3, 40, 2000, 0.5).load(HERE, seed=0)
    x = torch.cat([splits.train.x, splits.test.x])
    y = torch.cat([splits.train.y, splits.test.y])
    assert x.shape == (2000, 43)
    assert len(x.unique(dim=0)) == 2000
    assert torch.equal(y, x[:, :3].sum(1).long() % 2)
    assert len(splits.train) == 1000
    assert 0.4 < x.mean() < 0.6


def test_all_strings_can_be_drawn() -> None:
    drawn = draw_distinct(16, 16, torch.Generator().manual_seed(0))
    assert sorted(drawn.tolist()) == list(range(16))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ModularArithmetic(12, "a/b"), "not prime"),
        (lambda: ModularArithmetic(train_fraction=1.0), "between 0 and 1"),
        (lambda: ModularArithmetic(train_fraction=0.0), "between 0 and 1"),
        (lambda: ModularArithmetic(operation="a+c"), "did you mean 'a"),
        (lambda: ModularArithmetic(label_corruption=1.5), "label_corruption"),
        (lambda: ModularArithmetic(1), "at least 2"),
        (lambda: ModularArithmetic(3, train_fraction=0.01).load(HERE, 0), "without samples"),
        (lambda: SparseParity(3, 2, 100), "fewer than samples"),
        (lambda: SparseParity(train_fraction=2), "between 0 and 1"),
    ],
)
def test_parameters_out_of_range_are_refused(make: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()  # type: ignore[operator]


def test_primes() -> None:
    assert [n for n in range(30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


# --------------------------------------------------------------------- stream


def samples(n: int) -> Samples:
    x = torch.arange(n)
    return Samples(x, x * 10, x * 10)


def take(stream: BatchStream, n: int) -> list[list[int]]:
    iterator = iter(stream)
    return [next(iterator).index.tolist() for _ in range(n)]


def test_an_epoch_visits_each_sample_once_in_a_new_order() -> None:
    stream = BatchStream(samples(10), batch_size=4, seed=0)
    assert stream.steps_per_epoch == 3
    batches = take(stream, 6)
    first, second = list(chain(*batches[:3])), list(chain(*batches[3:]))
    assert [len(b) for b in batches[:3]] == [4, 4, 2]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("start", [0, 1, 3, 5, 17])
def test_a_stream_that_starts_late_gives_the_same_batches(start: int) -> None:
    whole = take(BatchStream(samples(10), 4, seed=7), 25)
    assert take(BatchStream(samples(10), 4, seed=7, start=start), 8) == whole[start : start + 8]


def test_seeds_shuffle_differently() -> None:
    assert take(BatchStream(samples(50), 50 - 1, 0), 1) != take(BatchStream(samples(50), 50 - 1, 1), 1)


def test_a_full_batch_is_the_split_itself() -> None:
    split = samples(5)
    batch = next(iter(BatchStream(split, None, seed=0)))
    assert batch.index.tolist() == [0, 1, 2, 3, 4]
    assert batch.x.data_ptr() == split.x.data_ptr()


@pytest.mark.parametrize("batch_size", [None, 6])
def test_ranks_share_a_batch_without_a_duplicate(batch_size: int | None) -> None:
    whole = take(BatchStream(samples(12), batch_size, 0), 4)
    parts = [take(BatchStream(samples(12), batch_size, 0, rank=r, world_size=3), 4) for r in range(3)]
    for step, batch in enumerate(whole):
        assert sorted(chain(*(part[step] for part in parts))) == sorted(batch)


def test_batches_of_an_evaluation_cover_the_split_in_order() -> None:
    batches = BatchList(samples(10), 4)
    assert len(batches) == 3
    assert torch.cat([b.index for b in batches]).tolist() == list(range(10))
    assert torch.cat([b.y for b in batches]).tolist() == [10 * k for k in range(10)]
    few = BatchList(samples(10), 4, most=5)
    assert len(few) == 2
    assert torch.cat([b.y for b in few]).tolist() == [0, 20, 40, 60, 80]  # evenly spread, not the first
    assert torch.cat([b.index for b in BatchList(samples(10), 4, most=99)]).tolist() == list(range(10))
