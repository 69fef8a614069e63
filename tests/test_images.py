"""Images: decoding, the cache, subsets, and what is said of damaged files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from regrun.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    SVHN,
    CleanLabels,
    ETTh1,
    GaussianPixels,
    ImageFolder,
    Images,
    OriginalPixels,
    PhysioNet2012,
    RandomPixels,
    ShuffledPixels,
    SymmetricNoise,
    TinyShakespeare,
    download,
    torchvision_images,
)
from regrun.data.feedback import MovieLens100k
from regrun.data.idx import MD5, check_idx
from regrun.data.image_cache import cache_folder, cached, is_cached
from regrun.data.image_tree import decode_tree
from regrun.data.images import stratified

needs_data = pytest.mark.skipif(
    "REGRUN_DATA" not in os.environ, reason="REGRUN_DATA does not say where the real data lie"
)
DATA = Path(os.environ.get("REGRUN_DATA", ""))


def picture(grey: int, size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), grey, np.uint8)).save(out, "PNG")
    return out.getvalue()


def make_tree(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            (folder / name / f"{k:03}.png").write_bytes(picture(20 * len(name) + k))
    return folder


def pack(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname="set")
    return archive


def folder_dataset(**changes: object) -> ImageFolder:
    given = {"train": "train", "test": "test", "classes": 2, "size": 8, "channels": 3}
    spread = {"mean": [0.5] * 3, "std": [0.25] * 3}
    parts = {"label_noise": CleanLabels(), "pixels": OriginalPixels()}
    return ImageFolder(**{**given, **spread, **parts, **changes})  # type: ignore[arg-type]


def test_a_folder_and_an_archive_of_it_give_the_same(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"cat": 3, "ant": 2})
    x, y, names = decode_tree(tree, 8, 3)
    assert names == ["ant", "cat"]
    assert y.tolist() == [0, 0, 1, 1, 1]
    assert x[:, 0, 0, 0].tolist() == [60, 61, 60, 61, 62]
    packed = decode_tree(pack(tree, tmp_path / "tree.tar"), 8, 3)
    assert (packed[0] == x).all()
    assert packed[1].tolist() == y.tolist()


def test_grey_and_resized(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": 1})
    assert decode_tree(tree, 4, 1)[0].shape == (1, 4, 4, 1)


def test_images_that_do_not_decode_are_counted_and_named(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": 8})
    for k in range(7):
        (tree / "a" / f"{k:03}.png").write_bytes(picture(3)[: 20 + k])
    with pytest.raises(ValueError, match=r"7 of 8 images of .* a/000.png .*, and 2 more"):
        decode_tree(tree, 8, 3)


@pytest.mark.parametrize("cut", [100, 512, 700, 2048, 2600])
def test_a_truncated_archive_is_named(tmp_path: Path, cut: int) -> None:
    """Wherever it was cut: within a header, between files, within one."""
    whole = pack(make_tree(tmp_path / "tree", {"a": 2, "b": 2}), tmp_path / "whole.tar").read_bytes()
    broken = tmp_path / "broken.tar"
    broken.write_bytes(whole[:cut])
    with pytest.raises(ValueError, match=r"broken.tar is (no tar archive, or is|a) truncated"):
        decode_tree(broken, 8, 3)


def test_a_foreign_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.tar"
    foreign.write_text("not an archive" * 100)
    with pytest.raises(ValueError, match=r"foreign\.tar is no tar archive"):
        decode_tree(foreign, 8, 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images in folders of classes"):
        decode_tree(tmp_path / "empty", 8, 3)


def test_what_is_missing_and_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train is not there"):
        folder_dataset().load(tmp_path, 0)
    make_tree(tmp_path / "train", {"a": 4, "b": 4})
    make_tree(tmp_path / "test", {"a": 2, "c": 2})
    with pytest.raises(ValueError, match=r"do not have the same classes: b, c"):
        folder_dataset().load(tmp_path, 0)
    make_tree(tmp_path / "good", {"a": 2, "b": 2})
    with pytest.raises(ValueError, match=r"dataset.classes is 3, and .* has 2"):
        folder_dataset(test="good", classes=3).load(tmp_path, 0)
    with pytest.raises(ValueError, match="are more than the 8 there are"):
        folder_dataset(test="good", train_limit=9).load(tmp_path, 0)
    with pytest.raises(ValueError, match="are more than the 8 there are"):
        folder_dataset(test="good", validation=8).load(tmp_path, 0)


# ------------------------------------------------------------------ the cache


def test_images_are_decoded_once_for_as_long_as_files_do_not_change(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"a": 2})
    calls = []

    def decode() -> tuple[np.ndarray, np.ndarray, list[str]]:
        calls.append(1)
        x, y, names = decode_tree(tree, 8, 3)
        return x, y, list(names)

    first = cached([tree], tmp_path, "tree", decode)
    again = cached([tree], tmp_path, "tree", decode)
    assert len(calls) == 1
    assert torch.equal(first.x, again.x)
    assert first.x.shape == (2, 3, 8, 8)
    assert first.x.is_contiguous(memory_format=torch.channels_last)
    (tree / "a" / "new.png").write_bytes(picture(99))
    assert len(cached([tree], tmp_path, "tree", decode).x) == 3
    assert len(calls) == 2

    (folder,) = [f for f in cache_folder(tmp_path).iterdir() if f.is_dir()]
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "version": 0}))
    cached([tree], tmp_path, "tree", decode)
    assert len(calls) == 3
    (folder / "x.npy").write_bytes((folder / "x.npy").read_bytes()[:100])
    cached([tree], tmp_path, "tree", decode)
    assert len(calls) == 4
    first.x[0] = 0  # a run may write into its tensors: the cache stays as it is
    assert cached([tree], tmp_path, "tree", decode).x[0].any()
    assert len(calls) == 4


def test_eight_processes_decode_once(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", {"a": 20, "b": 20})
    program = (
        "import sys; from pathlib import Path\n"
        "from regrun.data.image_cache import cached\n"
        "from regrun.data.image_tree import decode_tree\n"
        "def decode():\n"
        "    print('decoded'); return decode_tree(Path('tree'), 8, 3)\n"
        "print(int(cached([Path('tree')], Path('.'), 'tree', decode).x.sum()))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    words = [process.communicate()[0].split() for process in processes]
    assert sum(w.count("decoded") for w in words) == 1
    assert len({w[-1] for w in words}) == 1


def test_data_that_nobody_may_write_are_cached_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    assert cache_folder(data) == data / ".regrun"
    data.chmod(0o555)
    assert cache_folder(data) == tmp_path / "cache" / "regrun"


META = {
    "a list": "[]",
    "null": "null",
    "nothing": "",
    "too deep": "[" * 100_000,
    "other keys": '{"names": ["a"]}',
    "no text": b"\xff\xfe\x00",
    "names are a word": '{"names": "a"}',
}


@pytest.mark.parametrize("meta", META)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, meta: str) -> None:
    tree = make_tree(tmp_path / "tree", {"a": 2})
    first = cached([tree], tmp_path, "tree", partial(decode_tree, tree, 8, 3))
    (folder,) = [f for f in cache_folder(tmp_path).iterdir() if f.is_dir()]
    content = META[meta]
    if meta == "names are a word":
        content = json.dumps(json.loads((folder / "meta.json").read_text()) | {"names": "a"})
    (folder / "meta.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert not is_cached([tree], tmp_path, "tree")
    again = cached([tree], tmp_path, "tree", partial(decode_tree, tree, 8, 3))
    assert torch.equal(again.x, first.x)
    assert again.names == ("a",)
    assert is_cached([tree], tmp_path, "tree")


@pytest.mark.parametrize("labels", [[0, 1], [-1, 0], [[0, 0]], [0.0, 0.0]])
def test_a_cache_whose_labels_cannot_be_is_made_anew(tmp_path: Path, labels: list[object]) -> None:
    tree = make_tree(tmp_path / "tree", {"a": 2})
    cached([tree], tmp_path, "tree", partial(decode_tree, tree, 8, 3))
    (folder,) = [f for f in cache_folder(tmp_path).iterdir() if f.is_dir()]
    np.save(folder / "y.npy", np.array(labels))
    assert cached([tree], tmp_path, "tree", partial(decode_tree, tree, 8, 3)).y.tolist() == [0, 0]
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert cached([tree], tmp_path, "tree", partial(decode_tree, tree, 8, 3)).y.tolist() == [0, 0]


# -------------------------------------------------------------------- subsets


def test_subsets_have_every_class_in_its_proportion() -> None:
    y = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)[torch.randperm(1000)]
    for count in (1, 7, 50, 100, 999, 1000):
        chosen = stratified(y, count, torch.Generator().manual_seed(1))
        assert len(chosen.unique()) == count
        shares = y[chosen].bincount(minlength=3) - count * torch.tensor([0.6, 0.3, 0.1])
        assert shares.abs().max() <= 1
    assert len(stratified(y, 0, torch.Generator())) == 0


def test_splits_are_disjoint_and_follow_the_seed(tmp_path: Path) -> None:
    for name in ("train", "test"):
        make_tree(tmp_path / name, {"a": 40, "bbb": 40})
    data = folder_dataset(validation=10, train_limit=30, label_noise=SymmetricNoise(0.5), test_limit=20)
    splits = data.load(tmp_path, 0)
    assert splits.validation is not None
    assert [len(s) for s in splits.named.values()] == [30, 20, 10]
    assert splits.train.clean.bincount().tolist() == [15, 15]
    assert splits.validation.clean.bincount().tolist() == [5, 5]
    both = torch.cat([splits.train.x, splits.validation.x])[:, 0, 0, 0]
    assert len(both.unique()) == 40
    assert torch.equal(splits.test.y, splits.test.clean)
    assert data.load(tmp_path, 0).fingerprint() == splits.fingerprint()
    assert data.load(tmp_path, 1).fingerprint() != splits.fingerprint()


# --------------------------------------------------------------------- pixels


def test_pixels_are_shuffled_alike_or_each_in_its_own_way() -> None:
    x = torch.arange(2 * 3 * 16, dtype=torch.uint8).reshape(2, 3, 4, 4)
    x[1] = x[0]
    generator = torch.Generator().manual_seed(0)
    for pixels, alike in ((ShuffledPixels(), True), (RandomPixels(), False)):
        pixels.begin(x.shape[1:], generator)
        changed = pixels.change(x, generator)
        assert not torch.equal(changed, x)
        assert torch.equal(changed.flatten(2).sort().values, x.flatten(2).sort().values)
        assert torch.equal(changed[0], changed[1]) is alike
        assert torch.equal(changed[:, 1] - changed[:, 0], x[:, 1] - x[:, 0])  # channels move together


def test_gaussian_images_have_the_moments_of_the_images() -> None:
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(200, 3, 16, 16, generator=generator) * 20 + 128).to(torch.uint8)
    noise = GaussianPixels().change(x, generator)
    assert noise.dtype == torch.uint8
    torch.testing.assert_close(noise.double().mean((0, 2, 3)), x.double().mean((0, 2, 3)), atol=0.5, rtol=0)
    torch.testing.assert_close(noise.double().std((0, 2, 3)), x.double().std((0, 2, 3)), atol=0.5, rtol=0)


def test_what_a_model_reads_is_normalized() -> None:
    spec = Images((3, 4, 4), (0.2, 0.5, 0.8), (0.1, 0.2, 0.3))
    x = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = (torch.tensor(v)[:, None, None] for v in (spec.mean, spec.std))
    torch.testing.assert_close(spec.prepare(x), (x / 255 - mean) / std)
    assert x.dtype == torch.uint8


# -------------------------------------------------- files that are not what they should be


def change_byte(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def offline(urls: object, file: Path, md5: str) -> None:
    raise ValueError(f"{file.name} cannot be downloaded")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """MNIST's own files, to be damaged."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file in (DATA / "MNIST" / "raw").glob("*ubyte"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@needs_data
@pytest.mark.parametrize("name", MD5)
def test_one_changed_byte_of_mnist_is_named(tmp_path: Path, raw: Path, name: str) -> None:
    change_byte(raw / name, 5000)
    with pytest.raises(
        ValueError, match=rf"{raw / name} is not what was published: .* should be {MD5[name]}"
    ):
        MNIST(CleanLabels(), OriginalPixels()).load(tmp_path, 0)


@needs_data
def test_another_file_in_the_place_of_mnists_is_named(tmp_path: Path, raw: Path) -> None:
    data = MNIST(CleanLabels(), OriginalPixels())
    train, test = raw / "train-labels-idx1-ubyte", raw / "t10k-labels-idx1-ubyte"
    right = train.read_bytes()
    train.write_bytes(test.read_bytes())
    with pytest.raises(ValueError, match=rf"{train} has 10,008 bytes, and should have 60,008"):
        data.load(tmp_path, 0)
    train.write_bytes(b"\0" * len(right))
    with pytest.raises(ValueError, match=rf"{train} does not begin as a file of 60,000 labels should"):
        data.load(tmp_path, 0)
    train.write_bytes(right)
    assert len(data.load(tmp_path, 0).train) == 60_000


def idx_labels(labels: np.ndarray) -> bytes:
    return (0x801).to_bytes(4, "big") + len(labels).to_bytes(4, "big") + labels.astype(np.uint8).tobytes()


def test_where_no_checksum_is_known_the_packed_file_or_the_classes_tell(tmp_path: Path) -> None:
    file = tmp_path / "t10k-labels-idx1-ubyte"
    labels = np.arange(10_000) % 10
    file.write_bytes(idx_labels(labels))
    check_idx(file, None, "unknown")
    labels[3] = 4
    file.write_bytes(idx_labels(labels))
    with pytest.raises(
        ValueError, match=r"ubyte should have 1,000 labels of each of 10 classes, and has 1000,"
    ):
        check_idx(file, None, "unknown")
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(ValueError, match=rf"{packed} is not what was published"):
        check_idx(file, None, "unknown")
    md5 = hashlib.md5(packed.read_bytes()).hexdigest()
    check_idx(file, None, md5)  # it is what was published, after all
    change_byte(file, 100)
    with pytest.raises(ValueError, match=rf"{file} is not what was published"):
        check_idx(file, None, md5)


def test_a_packed_file_with_another_checksum_is_named_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    monkeypatch.setattr(download, "download", lambda url, partial: pytest.fail("there is no need to ask"))
    with pytest.raises(ValueError, match=rf"{file} is not what was published: its MD5 is .*; remove it"):
        MNIST(CleanLabels(), OriginalPixels()).load(tmp_path, 0)
    assert file.read_bytes() == b"something else"


def test_svhn_that_is_not_svhn_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(ValueError, match=r"train_32x32\.mat is not what was published"):
        SVHN(CleanLabels(), OriginalPixels()).load(tmp_path, 0)


@pytest.mark.parametrize(
    ("data", "there", "expected"),
    [
        (CIFAR100(CleanLabels(), OriginalPixels()), "CIFAR-100-python/train", "cifar-100-python"),
        (MNIST(CleanLabels(), OriginalPixels()), "mnist/raw/train-images-idx3-ubyte", "MNIST"),
        (MNIST(CleanLabels(), OriginalPixels()), "MNIST/Raw/train-images-idx3-ubyte", "raw"),
        (CIFAR10(CleanLabels(), OriginalPixels()), "CIFAR10_train.tar", "cifar10_train.tar"),
    ],
    ids=["folder", "the first folder", "the second folder", "mirror"],
)
def test_a_name_with_other_capitals_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: MNIST, there: str, expected: str
) -> None:
    monkeypatch.setattr(torchvision_images, "fetch", offline)
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    with pytest.raises(ValueError, match=rf" has other capitals than {tmp_path}.*{expected}; rename it"):
        data.load(tmp_path, 0)


def test_other_capitals_are_said_of_every_file_that_is_missed(tmp_path: Path) -> None:
    for name in ("Train", "etth1.csv", "TinyShakespeare.txt"):
        (tmp_path / name).touch()
    (tmp_path / "PhysioNet2012" / "set-a").mkdir(parents=True)
    (tmp_path / "ml-100K").mkdir()
    for load, name in (
        (folder_dataset().load, "Train"),
        (ETTh1().load, "etth1.csv"),
        (TinyShakespeare().load, "TinyShakespeare.txt"),
        (PhysioNet2012().load, "PhysioNet2012"),
        (MovieLens100k().load, "ml-100K"),
    ):
        with pytest.raises(ValueError, match=rf"\({tmp_path / name} has other capitals\)"):
            load(tmp_path, 0)


def test_what_is_missing_of_files_that_are_there_in_part_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_images, "fetch", offline)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for name in list(MD5)[:3]:
        (tmp_path / "MNIST" / "raw" / name).touch()
    with pytest.raises(ValueError, match=rf"{list(MD5)[3]} is not there, and .* cannot be downloaded"):
        MNIST(CleanLabels(), OriginalPixels()).load(tmp_path, 0)


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("tinyshakespeare.txt", TinyShakespeare, "tinyshakespeare.txt is damaged, or another text"),
        ("ETTh1.csv", ETTh1, "ETTh1.csv is damaged"),
        ("physionet2012/set-a/1.txt", PhysioNet2012, r"1\.txt: line 1 is not of the form hh:mm"),
        ("ml-100k/u.data", MovieLens100k, r"u\.data: line 1 does not begin with user, item and rating"),
    ],
)
def test_a_file_of_other_bytes_is_named(tmp_path: Path, name: str, make: Any, says: str) -> None:
    for file in (tmp_path / name, (tmp_path / name).with_name("2.txt")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\x00\x81\n" * 50)
    with pytest.raises(ValueError, match=says):
        make().load(tmp_path, 0)


@pytest.mark.parametrize("line", ["1\t2", "1\t2\tfive", "0\t1\t5", "944\t1\t5", "1\t1683\t5"])
def test_a_line_of_ratings_that_cannot_be_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "u.data").write_text(f"1\t1\t5\t0\n{line}\n")
    with pytest.raises(ValueError, match=r"u\.data: line 2 does not begin"):
        MovieLens100k().load(tmp_path, 0)


def test_a_complete_run_says_what_data_it_was_made_of(regrun: Callable[..., Any], tmp_path: Path) -> None:
    for place, extra in (("a", 0), ("b", 1)):
        for split in ("train", "test"):
            make_tree(tmp_path / place / split, {"cat": 4 + extra, "ant": 4})
    words = ("dataset=image_folder", "dataset.classes=2", "dataset.size=8", "model=mlp", "logger=csv")
    words += ("steps=2", "scale=smoke", "probe=none")
    assert regrun(*words, "data_dir=a").code == 0
    (record,) = tmp_path.glob("outputs/*/*/*/run.json")
    before = json.loads(record.read_text())["data_fingerprint"]
    assert "made of" not in regrun(*words, "data_dir=a").out
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    shutil.rmtree(cache_folder(tmp_path / "c"))
    for place in ("b", "c"):  # whose images have not been decoded
        result = regrun(*words, f"data_dir={place}")
        assert "already complete" in result.out
        assert f"made of the data in {tmp_path / 'a'}\n" in result.out
    for place in ("b", "c"):
        assert regrun(*words, f"data_dir={place}", "seed=1", f"outputs=other/{place}").code == 0
    result = regrun(*words, "data_dir=b")
    assert f"made of the data in {tmp_path / 'a'}, with the fingerprint {before}" in result.out
    assert f"those in {tmp_path / 'b'} are others, with" in result.out
    assert "made of" not in regrun(*words, "data_dir=c").out


def test_what_was_trained_on_other_data_is_not_measured_on_these(
    regrun: Callable[..., Any], tmp_path: Path
) -> None:
    """A stage is found by its config, which does not say what lay in data_dir."""
    for place, extra in (("a", 0), ("b", 1)):
        for split in ("train", "test"):
            make_tree(tmp_path / place / split, {"cat": 8 + extra, "ant": 8})
    words = ("dataset=image_folder", "dataset.classes=2", "dataset.size=8", "model=mlp", "logger=csv")
    words += ("steps=2", "scale=smoke", "probe=none", "procedure=hash_encoders/hash_codes")
    assert regrun(*words, "data_dir=a").code == 0
    (stage,) = tmp_path.glob("outputs/stages/*")
    result = regrun(*words, "procedure.neighbours=4", "data_dir=b")
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert f"{stage.relative_to(tmp_path)} was trained on other data than there are now" in result.err
    assert regrun(*words, "procedure.neighbours=4", "data_dir=a").code == 0


# ------------------------------------------------------------------ real data


@needs_data
def test_mnist_is_torchvisions() -> None:
    splits = MNIST(CleanLabels(), OriginalPixels()).load(DATA, 0)
    theirs = datasets.MNIST(str(DATA), train=False, download=False)
    assert torch.equal(splits.test.x[:, 0], theirs.data)
    assert torch.equal(splits.test.y, theirs.targets)
    assert len(splits.train) == 60_000


@needs_data
def test_what_was_downloaded_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST as its servers give it, compressed; the checksums are those of our own compression."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for file, _ in datasets.MNIST.resources:
        packed = gzip.compress((DATA / "MNIST" / "raw" / file.removesuffix(".gz")).read_bytes(), 1)
        (raw / file).write_bytes(packed)
        resources.append((file, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    data = MNIST(CleanLabels(), OriginalPixels())
    splits = data.load(tmp_path, 0)
    assert torch.equal(splits.test.x, data.load(DATA, 0).test.x)
    assert data.load(tmp_path, 0).fingerprint() == splits.fingerprint()


def test_cifar10_as_its_server_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive's own layout with random images; the checksums are those of this archive."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "build" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    truth: dict[str, tuple[np.ndarray, list[int]]] = {}
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for kind, name in (
        *(("train_list", f"data_batch_{k}") for k in range(1, 6)),
        ("test_list", "test_batch"),
    ):
        rows = generator.integers(256, size=(20, 3072), dtype=np.uint8)
        labels = generator.integers(10, size=20).tolist()
        truth[name] = (rows, labels)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": labels}))
        lists[kind].append([name, hashlib.md5((folder / name).read_bytes()).hexdigest()])
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.names)}))
    meta = hashlib.md5((folder / "batches.meta").read_bytes()).hexdigest()
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists["train_list"])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists["test_list"])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": meta})
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())

    data = CIFAR10(CleanLabels(), OriginalPixels())
    splits = data.load(tmp_path, 0)
    rows, labels = truth["test_batch"]
    assert torch.equal(splits.test.x, torch.from_numpy(rows.reshape(20, 3, 32, 32)))
    assert splits.test.y.tolist() == labels
    assert len(splits.train) == 100
    assert data.load(tmp_path, 0).fingerprint() == splits.fingerprint()
    archive.unlink()  # what was unpacked is enough
    assert data.load(tmp_path, 0).fingerprint() == splits.fingerprint()
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    change_byte(batch, -1)
    with pytest.raises(ValueError, match=rf"{batch} is not what was published: its MD5 is"):
        data.load(tmp_path, 0)


@needs_data
def test_a_mirror_of_cifar10_has_its_classes_in_its_order() -> None:
    data = CIFAR10(CleanLabels(), OriginalPixels(), test_limit=500)
    splits = data.load(DATA, 0)
    assert splits.train.x.shape == (50_000, 3, 32, 32)
    assert splits.train.y.bincount().tolist() == [5000] * 10
    assert "mirror" in splits.notes[0]
    mean = splits.train.x[::10].double().div(255).mean((0, 2, 3))
    torch.testing.assert_close(mean, torch.tensor(data.inputs.mean).double(), atol=5e-3, rtol=0)
    blue = splits.train.x[:, 2].double().mean((1, 2)) - splits.train.x[:, 0].double().mean((1, 2))
    assert blue[splits.train.y == 8].mean() > blue[splits.train.y == 4].mean()  # ships before deer
