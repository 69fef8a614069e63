"""Label noise: rates, transitions, files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from regrun.data import (
    CIFAR10,
    MNIST,
    AsymmetricNoise,
    InstanceDependentNoise,
    LabelFile,
    LabelNoise,
    PairFlip,
    RandomLabels,
    SymmetricNoise,
)
from regrun.data.cifar100_classes import CLASSES, NEXT_IN_SUPERCLASS, SUPERCLASSES
from regrun.data.label_noise import TrueLabels

N = 20_000


def labels(classes: int = 10, n: int = N) -> TrueLabels:
    generator = torch.Generator().manual_seed(5)
    y = torch.randint(classes, (n,), generator=generator)
    x = torch.randint(256, (n, 1, 4, 4), generator=generator, dtype=torch.uint8)
    names = [str(k) for k in range(classes)]
    return TrueLabels(y, x, torch.arange(n), n, names, [(k + 3) % classes for k in range(classes)])


def transitions(noise: LabelNoise, truth: TrueLabels) -> torch.Tensor:
    noisy = noise.corrupt(truth, torch.Generator().manual_seed(0))
    classes = len(truth.names)
    counts = torch.zeros(classes, classes, dtype=torch.float64)
    counts.index_put_((truth.y, noisy), torch.ones(len(noisy), dtype=torch.float64), accumulate=True)
    return counts / counts.sum(1, keepdim=True)


def test_symmetric_noise_is_uniform_with_or_without_the_true_class() -> None:
    matrix = transitions(SymmetricNoise(0.4), labels())
    torch.testing.assert_close(matrix.diagonal().mean().item(), 1 - 0.4 * 0.9, atol=0.01, rtol=0)
    exact = SymmetricNoise(0.4, include_true=False)
    noisy = exact.corrupt(truth := labels(), torch.Generator())
    assert int((noisy != truth.y).sum()) == round(0.4 * N)
    off = transitions(exact, truth)[~torch.eye(10, dtype=torch.bool)]
    assert (off - 0.4 / 9).abs().max() < 0.015


def test_asymmetric_noise_flips_a_share_of_each_class_to_its_own_target() -> None:
    truth = labels()
    matrix = transitions(AsymmetricNoise(0.3), truth)
    for k in range(10):
        assert matrix[k, (k + 3) % 10] == pytest.approx(0.3, abs=1e-3)
        assert matrix[k, k] == pytest.approx(0.7, abs=1e-3)
    named = transitions(AsymmetricNoise(0.5, {"0": "1"}), truth)
    assert named[0, 1] == pytest.approx(0.5, abs=1e-3)
    assert torch.equal(named[1:], torch.eye(10, dtype=torch.float64)[1:])
    with pytest.raises(ValueError, match="no class 'x'"):
        AsymmetricNoise(0.3, {"0": "x"}).corrupt(truth, torch.Generator())


def test_the_literatures_pairs() -> None:
    pairs = {CIFAR10.names[k]: CIFAR10.names[t] for k, t in enumerate(CIFAR10.confusable or ()) if t != k}
    assert pairs == {
        "truck": "automobile",
        "bird": "airplane",
        "deer": "horse",
        "cat": "dog",
        "dog": "cat",
    }
    digits = {k: t for k, t in enumerate(MNIST.confusable or ()) if t != k}
    assert digits == {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}


def test_cifar100_has_twenty_superclasses_of_five_and_noise_stays_within() -> None:
    assert list(CLASSES) == sorted(CLASSES)
    assert len(set(CLASSES)) == 100
    assert np.bincount(SUPERCLASSES).tolist() == [5] * 20
    for k, target in enumerate(NEXT_IN_SUPERCLASS):
        assert SUPERCLASSES[target] == SUPERCLASSES[k]
        assert target != k
    assert sorted(NEXT_IN_SUPERCLASS) == list(range(100))
    group = SUPERCLASSES[CLASSES.index("beaver")]
    aquatic = {name for name, s in zip(CLASSES, SUPERCLASSES, strict=True) if s == group}
    assert aquatic == {"beaver", "dolphin", "otter", "seal", "whale"}
    group = SUPERCLASSES[CLASSES.index("willow_tree")]
    trees = {name for name, s in zip(CLASSES, SUPERCLASSES, strict=True) if s == group}
    assert trees == {"maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"}


def test_pair_flip_goes_to_the_next_class() -> None:
    matrix = transitions(PairFlip(0.45), labels())
    for k in range(10):
        assert matrix[k, (k + 1) % 10] == pytest.approx(0.45, abs=1e-3)


def test_instance_dependent_noise_has_its_rate_and_depends_on_the_input() -> None:
    truth = labels()
    noise = InstanceDependentNoise(0.4)
    noisy = noise.corrupt(truth, torch.Generator().manual_seed(0))
    assert float((noisy != truth.y).double().mean()) == pytest.approx(0.4, abs=0.015)
    same = TrueLabels(truth.y, torch.zeros_like(truth.x), truth.index, N, truth.names)
    flat = transitions(noise, same)  # without an input to depend on, wrong classes are alike
    assert (flat[~torch.eye(10, dtype=torch.bool)] - 0.4 / 9).abs().max() < 0.02
    rough = transitions(noise, truth)
    assert rough[~torch.eye(10, dtype=torch.bool)].std() > 3 * flat[~torch.eye(10, dtype=torch.bool)].std()


def test_random_labels_tell_nothing() -> None:
    assert (transitions(RandomLabels(), labels()) - 0.1).abs().max() < 0.03
    assert torch.equal(RandomLabels(0).corrupt(truth := labels(), torch.Generator()), truth.y)


@pytest.mark.parametrize("kind", [SymmetricNoise, AsymmetricNoise, PairFlip, InstanceDependentNoise])
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_rates_outside_their_range_are_refused(kind: type[LabelNoise], rate: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        kind(rate)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("noise", "odd"),
    [
        (SymmetricNoise(0.95, include_true=False), True),
        (SymmetricNoise(0.85, include_true=False), False),
        (SymmetricNoise(0.99), False),
        (PairFlip(0.55), True),
        (PairFlip(0.45), False),
        (AsymmetricNoise(0.6), True),
        (InstanceDependentNoise(0.6), True),
    ],
)
def test_a_true_class_in_the_minority_is_warned_of(noise: LabelNoise, odd: bool) -> None:
    assert ("minority" in noise.warning(10)) is odd


# ---------------------------------------------------------------------- files


def test_labels_of_a_file_in_every_format(tmp_path: Path) -> None:
    truth = labels(n=50)
    noisy = (truth.y + 1) % 10
    np.save(tmp_path / "labels.npy", noisy.numpy())
    np.savetxt(tmp_path / "labels.txt", noisy.numpy(), fmt="%d")
    torch.save({"clean_label": truth.y.numpy(), "worse_label": noisy.numpy()}, tmp_path / "labels.pt")
    for name in ("labels.npy", "labels.txt", "labels.pt"):
        assert torch.equal(LabelFile(str(tmp_path / name)).corrupt(truth, torch.Generator()), noisy)
    part = TrueLabels(truth.y[10:20], truth.x[10:20], truth.index[10:20], 50, truth.names)
    assert torch.equal(LabelFile(str(tmp_path / "labels.pt")).corrupt(part, torch.Generator()), noisy[10:20])


def test_files_of_other_data_are_refused(tmp_path: Path) -> None:
    truth = labels(n=50)
    file = tmp_path / "labels.pt"

    def message(content: object, key: str = "worse_label") -> str:
        torch.save(content, file)
        with pytest.raises(ValueError, match=re.escape(str(file))) as info:
            LabelFile(str(file), key).corrupt(truth, torch.Generator())
        return str(info.value)

    right = truth.y.numpy()
    assert "has 49 labels, the dataset's train split 50" in message({"worse_label": right[:49]})
    assert "did you mean 'worse_label'?" in message({"worse_label": right}, "worst_label")
    assert "not in the order" in message({"clean_label": right[::-1].copy(), "worse_label": right})
    assert "must lie in 0 to 9, got 0 to 12" in message({"worse_label": np.where(right == 9, 12, right)})
    file.write_text("rubbish")
    with pytest.raises(ValueError, match="cannot be read"):
        LabelFile(str(file)).corrupt(truth, torch.Generator())


LINES = "\n".join(str((k + 1) % 10) for k in range(50)) + "\n"
TABLE = "index,worse_label\n" + "".join(f"{k},{(k + 1) % 10}\n" for k in range(50))


def short(value: object) -> str:
    """A name for a test that does not hold a whole file."""
    return value if isinstance(value, str) and "\n" not in value else ""


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + LINES.encode(),
        LINES.encode("utf-16"),
        b"\xfe\xff" + LINES.encode("utf-16-be"),
        ("label\n" + LINES).encode(),
        ('"label"\n' + LINES).encode(),
        ("# made by hand\n" + LINES + "\n\n").encode(),
        LINES.replace("\n", ".0\n").encode(),
        LINES.replace("\n", "  # sure\n").encode(),
        TABLE.encode(),
        TABLE.replace(",", ";").replace("\n", "\r\n").encode("utf-16"),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", ", ").encode(),
    ],
    ids=short,
)
@pytest.mark.parametrize("name", ["labels.csv", "LABELS.TXT"])
def test_labels_of_a_text_however_it_was_written(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    read = LabelFile(str(tmp_path / name)).corrupt(labels(n=50), torch.Generator())
    assert read.tolist() == [(k + 1) % 10 for k in range(50)]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LINES.replace("4", "four"), r"line 4: a whole number is expected, not 'four'"),
        (LINES.replace("4", "3.5"), r"line 4: a whole number is expected, not '3.5'"),
        ("0.5\n" + LINES, r"line 1: a whole number is expected, not '0.5'"),
        ("nan\n" + LINES, r"line 1: a whole number is expected, not 'nan'"),
        (LINES.replace("4", "inf"), r"line 4: a whole number is expected, not 'inf'"),
        (LINES.replace("4", "4 5"), r"line 4: a whole number is expected, not '4 5'"),
        (LINES.replace("4\n", "4,5\n"), r"line 4: one whole number expected, not 2: '4,5'"),
        ("0,1,2,3\n", r"line 1: one whole number expected, not 4: '0,1,2,3'"),
        (TABLE.replace("8,9\n", "8\n"), r"line 10: 2 values expected, not 1: '8'"),
        (TABLE.replace("worse_label", "worst_label"), r"has no 'worse_label'; did you mean 'worst_label'\?"),
        (TABLE.replace("worse_label", "y"), r"has no 'worse_label'.*\(it has index, y\)"),
        (LINES[:-2], r"worse_label has 49 labels, the dataset's train split 50"),
        (LINES + "1\n", r"worse_label has 51 labels"),
        ("label\n", r"worse_label has 0 labels"),
        ("", r"worse_label has 0 labels"),
        (LINES.replace("4", "10"), r"must lie in 0 to 9, got 0 to 10; the first .* is 10, label 4"),
        (LINES.replace("4", "-1"), r"must lie in 0 to 9, got -1 to 9; the first .* is -1, label 4"),
        (LINES.replace("4", "1" * 40), r"a row of whole numbers is expected, not 50 of object"),
        (LINES.encode("utf-16-le"), r"cannot be read: it is not text in utf-8"),
        (b"\xff\xfe" + b"\x00\xd8" * 9, r"cannot be read: it is not text in utf-16"),
        (b"\x89PNG\r\n\x1a\n" * 20, r"cannot be read: it is not text in utf-8"),
    ],
    ids=short,
)
def test_what_is_no_text_of_labels_is_refused_with_its_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}.*{says}"):
        LabelFile(str(file)).corrupt(labels(n=50), torch.Generator())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.arange(50) % 10 + 0.7, r"label 1 is no whole number that a label can be: 0\.7"),
        (np.where(np.arange(50) == 3, np.nan, 1.0), r"label 4 is no whole number that a label can be: nan"),
        (np.eye(50, 10), r"a row of whole numbers is expected, not 50 × 10 of float64"),
        (np.arange(50) > 3, r"a row of whole numbers is expected, not 50 of bool"),
        (np.array(["1"] * 50), r"a row of whole numbers is expected, not 50 of <U1"),
        (np.array(3), r"a row of whole numbers is expected, not one of int64"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(tmp_path: Path, values: np.ndarray, says: str) -> None:
    """They were rounded towards zero, or read row by row."""
    file = tmp_path / "labels.npy"
    np.save(file, values)
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}: {says}"):
        LabelFile(str(file)).corrupt(labels(n=50), torch.Generator())


def test_arrays_of_other_types_that_hold_labels_are_read(tmp_path: Path) -> None:
    truth = labels(n=50)
    y = truth.y.numpy()
    for values in (y.astype(np.uint8), y.astype(np.float32), y[:, None], y[None]):
        np.save(tmp_path / "labels.npy", values)
        read = LabelFile(str(tmp_path / "labels.npy")).corrupt(truth, torch.Generator())
        assert torch.equal(read, truth.y)
    for tensor in (truth.y.int(), truth.y.bfloat16(), truth.y.float().requires_grad_()):
        torch.save(tensor, tmp_path / "labels.pt")
        assert torch.equal(LabelFile(str(tmp_path / "labels.pt")).corrupt(truth, torch.Generator()), truth.y)


@pytest.mark.parametrize("name", ["labels.pt", "labels.npy", "labels.csv", "labels"])
def test_a_label_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} cannot be read: No such file or directory"):
        LabelFile(str(tmp_path / name)).corrupt(labels(n=50), torch.Generator())


def test_a_label_file_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (eval, ("__import__('pathlib').Path('owned').touch()",))

    torch.save({"worse_label": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        LabelFile(str(tmp_path / "evil.pt")).corrupt(labels(n=5), torch.Generator())
    assert not Path("owned").exists()
