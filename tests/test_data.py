from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import needs_data
from regrun import memory
from regrun.data import (
    BackCopy,
    BatchList,
    BatchStream,
    CleanLabels,
    LabelNoise,
    ModularArithmetic,
    OriginalPixels,
    Prototypes,
    Samples,
    ShakespeareWords,
    SparseParity,
    torchvision_images,
)
from regrun.data.feedback import LatentTastes, MovieLens100k
from regrun.data.generators import seed_generators
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


# --------------------------------------------------------- parameters out of range

CONF = Path(__file__).parents[1] / "conf"
TASTES = {"users": 900, "items": 1600, "factors": 8, "most": 100, "noise": 0.5, "popularity": 0.7}
COMPONENTS: dict[str, dict[str, object]] = {
    **{
        f"{file.parent.name} {file.stem}": yaml.safe_load(file.read_text()) for file in CONF.glob("dataset/*")
    },
    **{
        f"{file.parent.name} {file.stem}": yaml.safe_load(file.read_text())
        for file in CONF.glob("label_noise/*")
    },
    "latent tastes": {"_target_": "regrun.data.feedback.LatentTastes", **TASTES},
}
NEVER = (math.nan, math.inf, -math.inf, True, 10**30)  # whatever the parameter
LARGE = 10**12
BELOW_ZERO = {  # what may be
    ("dataset image_folder", "mean"),
    ("dataset polynomial_regression", "coefficients"),
}


def build(node: Mapping[str, object], **changes: object) -> Any:
    """The component of a config, with some of its parameters changed."""
    given = {**node, **changes}
    module, _, name = str(given.pop("_target_")).rpartition(".")
    for key, value in given.items():
        if isinstance(value, dict) and "_target_" in value:
            given[key] = build(value)
        elif value in ("${label_noise}", "${pixels}"):
            given[key] = CleanLabels() if value == "${label_noise}" else OriginalPixels()
    return getattr(import_module(module), name)(**given)


def numbers() -> list[tuple[str, str]]:
    """Every parameter that is a number, may be one, or is a list of them."""
    return [
        (name, key)
        for name, node in sorted(COMPONENTS.items())
        for key, value in node.items()
        if value is None or isinstance(value[0] if isinstance(value, list) else value, int | float)
        if not isinstance(value, bool) and key != "mapping"
    ]


def changed(name: str, key: str, value: object) -> Any:
    default = COMPONENTS[name][key]
    return build(COMPONENTS[name], **{key: [value, *default[1:]] if isinstance(default, list) else value})


@pytest.mark.parametrize(("name", "key"), numbers())
def test_a_number_out_of_range_is_refused_when_a_component_is_made(name: str, key: str) -> None:
    for value in NEVER if (name, key) in BELOW_ZERO else (*NEVER, -1):
        with pytest.raises(ValueError, match=rf"{key}|limits|rate"):
            changed(name, key, value)


@pytest.mark.parametrize(("name", "key"), numbers())
@pytest.mark.parametrize("value", [0, LARGE])
def test_what_is_too_small_or_too_large_is_refused_or_works(
    name: str, key: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a moment, and before the memory is asked for."""
    monkeypatch.setattr(torchvision_images, "fetch", offline)
    if (name, key) == ("dataset spiral", "span"):
        return  # its solver takes ten thousand steps before it gives up
    works = False
    with suppress(ValueError):
        made = changed(name, key, value)
        if not isinstance(made, LabelNoise):
            made.load(tmp_path, 0)
        works = True
    may = {"concentration", "coefficients", "fastest", "noise", "popularity", "sigma", "spread"}
    zero = {"label_corruption", "lowest", "slowest", "validation", "share", "rate"}
    assert not works or key in (zero | may if value == 0 else may)


def offline(urls: object, file: Path, md5: str) -> None:
    raise ValueError(f"{file.name} cannot be downloaded")


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("sparse_parity", "samples", r"1,000,000,000,000 strings of 43 bits need 1\.1 PiB of memory, and "),
        ("prototypes", "dimensions", r"14,000 points of 1,000,000,000,000 dimensions.* need 149 PiB"),
        ("back_copy", "length", r"20,500 sequences of 1,000,000,000,000 of 64 symbols need 437 PiB"),
        ("student_teacher", "units", r"1,040 samples of 5 dimensions, of 1,000,000,000,000 units need"),
        ("irregular_sinusoids", "points", r"points: 1,000,000,000,000 times need 58 TiB of memory"),
        ("spiral", "paths", r"1,000,000,000,000 paths of 31 times need"),
    ],
)
def test_it_is_said_how_much_memory_would_be_needed(name: str, key: str, says: str) -> None:
    with pytest.raises(ValueError, match=says + r".*\b\d+(\.\d)? [GM]iB are free$"):
        changed(f"dataset {name}", key, LARGE).load(HERE, 0)


def test_a_modulus_whose_pairs_do_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    ModularArithmetic(113).load(HERE, 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**5)
    with pytest.raises(
        ValueError, match=r"^12,769 pairs of residues need 798 KiB of memory, and 98 KiB are free$"
    ):
        ModularArithmetic(113).load(HERE, 0)
    with pytest.raises(ValueError, match="at most 1,000,000"):
        ModularArithmetic(10**9)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 1.0, True, None])
def test_a_seed_that_would_repeat_another_is_refused(seed: Any) -> None:
    """Generators take the last 32 bits of a seed: 2**32 would give the samples of 0."""
    drawn = [torch.rand(3, generator=torch.Generator().manual_seed(s)) for s in (0, 2**32)]
    assert torch.equal(*drawn)
    for name in ("modular_arithmetic", "sparse_parity", "spiral", "prototypes", "digits", "back_copy"):
        with pytest.raises(ValueError, match=r"^seed"):
            build(COMPONENTS[f"dataset {name}"]).load(HERE, seed)
    with pytest.raises(ValueError, match=r"^seed"):
        seed_generators(seed)


# -------------------------------------------------------------------------------- prototypes and words


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


@needs_data
def test_shakespeare_has_words_enough() -> None:
    splits = ShakespeareWords(train_limit=100, test_limit=50).load(Path(os.environ["REGRUN_DATA"]), 0)
    assert splits.sizes == {"train samples": 100, "test samples": 50}
    assert "unknown" in splits.notes[0]


# --------------------------------------------------------------------------------- feedback and copies


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


def test_after_a_trigger_the_symbol_before_it_comes_again() -> None:
    splits = BackCopy(symbols=12, triggers=2, length=30, train=200, test=5).load(HERE, 0)
    x, y = splits.train.x, splits.train.y
    assert bool((x[:, 0] == 12).all())
    assert torch.equal(x[:, 1:], y[:, :-1])
    copies = (x[:, 2:] < 2) & (x[:, 1:-1] < 12)
    assert bool((y[:, 2:][copies] == x[:, 1:-1][copies]).all())
    assert int(copies.sum()) > 100
    assert int(y.amax()) < 12
