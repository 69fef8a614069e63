"""The image datasets that torchvision knows: found, mirrored, or downloaded and checked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from filelock import FileLock

from regrun.contracts.inputs import Images
from regrun.data.cifar100_classes import CLASSES, NEXT_IN_SUPERCLASS
from regrun.data.download import fetch
from regrun.data.files import check_md5, other_capitals
from regrun.data.idx import MD5, check_idx
from regrun.data.image_cache import Arrays, Decoded, cached, is_cached
from regrun.data.image_folder import read_trees
from regrun.data.images import ImageDataset

# A download: its source, its file below the data directory, its MD5.
Offer = tuple[Sequence[str], str, str]


def idx_files(folder: str) -> tuple[str, ...]:
    """The four files of a dataset in MNIST's format."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    return tuple(f"{folder}/raw/{part}-ubyte" for part in parts)


class TorchvisionImages(ImageDataset):
    """A dataset whose files lie in the data directory as torchvision has them.

    If they do not, an offline mirror of it is used that lies there: ``<name>_train.tar`` and
    ``<name>_test.tar``, class-per-folder trees; else the files are downloaded, checked and unpacked.

    Args:
        label_noise: see ``ImageDataset``.
        pixels: see ``ImageDataset``.
        validation: see ``ImageDataset``.
        train_limit: see ``ImageDataset``.
        test_limit: see ``ImageDataset``.
    """

    name: ClassVar[str]
    torchvision_name: ClassVar[str]
    unpacked: ClassVar[tuple[str, ...]]  # files below the data directory
    SPLITS: ClassVar[tuple[dict[str, Any], dict[str, Any]]] = ({"train": True}, {"train": False})

    @property
    def factory(self) -> Any:
        """Torchvision's class."""
        from torchvision import datasets  # takes a second

        return getattr(datasets, self.torchvision_name)

    @abstractmethod
    def offers(self) -> Iterator[Offer]:
        """The files that are downloaded."""

    @abstractmethod
    def check(self, data_dir: Path, which: dict[str, Any]) -> None:
        """Raise ``ValueError`` for a file of a split that is not as it was published; names it."""

    def read(self, data_dir: Path) -> tuple[Decoded, Decoded, str]:
        files, mirror = self.files(data_dir), self._mirror(data_dir)
        if files == mirror:
            return self._read_mirror(data_dir, mirror[0], mirror[1])
        missing = [file for file in files if not file.exists()]
        if missing:
            for file in [*missing, *mirror]:
                if (found := other_capitals(file, data_dir)) is not None:
                    expected = found.with_name(file.parts[len(found.parts) - 1])
                    raise ValueError(f"{found} has other capitals than {expected}; rename it")
            try:
                self._download(data_dir)
            except ValueError as error:
                raise ValueError(f"{missing[0]} is not there, and {error}") from error
        train, test = (
            cached(files, data_dir, f"{self.name}-{split}", partial(self._decode, data_dir, which))
            for split, which in zip(("train", "test"), self.SPLITS, strict=True)
        )
        return train, test, ""

    def files(self, data_dir: Path) -> list[Path]:
        own, mirror = [data_dir / file for file in self.unpacked], self._mirror(data_dir)
        is_mirrored = all(file.exists() for file in mirror) and not all(file.exists() for file in own)
        return mirror if is_mirrored else own

    def is_at_hand(self, data_dir: Path) -> bool:
        files = self.files(data_dir)
        if not all(file.exists() for file in files):
            return False
        if files == self._mirror(data_dir):
            return all(is_cached([file], data_dir, file.name) for file in files)
        return all(is_cached(files, data_dir, f"{self.name}-{split}") for split in ("train", "test"))

    def _mirror(self, data_dir: Path) -> list[Path]:
        return [data_dir / f"{self.name}_{split}.tar" for split in ("train", "test")]

    def _read_mirror(self, data_dir: Path, train_tree: Path, test_tree: Path) -> tuple[Decoded, Decoded, str]:
        train, test = read_trees(data_dir, train_tree, test_tree, self.inputs.shape)
        if train.names != tuple(sorted(self.names)):
            raise ValueError(f"{train_tree} does not have the classes of {self.name}")
        note = f"a mirror of {self.name}, whose images may be compressed once more"
        return in_order(train, self.names), in_order(test, self.names), note

    def _download(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f"{self.name}.lock"):
            for urls, file, md5 in self.offers():
                fetch(urls, data_dir / file, md5)
            for which in self.SPLITS:  # torchvision finds what was fetched, checks it again and unpacks it
                self.factory(str(data_dir), **which, download=True)

    def _decode(self, data_dir: Path, which: dict[str, Any]) -> Arrays:
        self.check(data_dir, which)
        try:
            found = self.factory(str(data_dir), **which, download=False)
        except Exception as error:  # whatever becomes of other bytes
            raise ValueError(f"the files of {self.name} in {data_dir} are damaged: {error}") from error
        x = np.asarray(found.data)
        if x.ndim == 3:
            x = x[..., None]
        elif x.shape[1] == 3:  # SVHN has channels first
            x = x.transpose(0, 2, 3, 1)
        y = found.targets if hasattr(found, "targets") else found.labels
        return x.astype(np.uint8, copy=False), np.asarray(y, dtype=np.int64), self.names


class CIFAR10(TorchvisionImages):
    """60,000 colour images of 32 × 32 in 10 classes (Krizhevsky 2009)."""

    name = "cifar10"
    torchvision_name = "CIFAR10"
    unpacked = tuple(
        f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")
    )
    classes = 10
    names: Sequence[str] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    # truck→automobile, bird→airplane, deer→horse, cat↔dog: Patrini et al., arXiv 1609.03683.
    confusable: Sequence[int] | None = (0, 1, 0, 5, 7, 3, 6, 7, 8, 1)
    inputs = Images((3, 32, 32), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

    def offers(self) -> Iterator[Offer]:
        yield [self.factory.url], self.factory.filename, self.factory.tgz_md5

    def check(self, data_dir: Path, which: dict[str, Any]) -> None:
        for file, md5 in self.factory.train_list if which["train"] else self.factory.test_list:
            check_md5(data_dir / self.factory.base_folder / file, md5)


class CIFAR100(CIFAR10):
    """60,000 colour images of 32 × 32 in 100 classes of 20 superclasses (Krizhevsky 2009)."""

    name = "cifar100"
    torchvision_name = "CIFAR100"
    unpacked = ("cifar-100-python/train", "cifar-100-python/test")
    classes = 100
    names = CLASSES
    confusable = NEXT_IN_SUPERCLASS
    inputs = Images((3, 32, 32), (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


class MNIST(TorchvisionImages):
    """70,000 grey images of 28 × 28, handwritten digits (LeCun et al. 1998)."""

    name = "mnist"
    torchvision_name = "MNIST"
    unpacked = idx_files("MNIST")
    md5: ClassVar[Mapping[str, str]] = MD5  # of unpacked files, if known
    classes = 10
    names: Sequence[str] = tuple(str(digit) for digit in range(10))
    # 7→1, 2→7, 5↔6, 3→8: Patrini et al., arXiv 1609.03683.
    confusable: Sequence[int] | None = (0, 1, 7, 8, 4, 6, 5, 1, 8, 9)
    inputs = Images((1, 28, 28), (0.1307,), (0.3081,))

    def offers(self) -> Iterator[Offer]:
        for file, md5 in self.factory.resources:
            urls = [mirror + file for mirror in self.factory.mirrors]
            yield urls, f"{self.torchvision_name}/raw/{file}", md5

    def check(self, data_dir: Path, which: dict[str, Any]) -> None:
        for file, md5 in self.factory.resources:
            if file.startswith("train") == which["train"]:
                name = file.removesuffix(".gz")
                check_idx(data_dir / self.torchvision_name / "raw" / name, self.md5.get(name), md5)


class FashionMNIST(MNIST):
    """70,000 grey images of 28 × 28, articles of clothing (Xiao et al., arXiv 1708.07747)."""

    name = "fashion_mnist"
    torchvision_name = "FashionMNIST"
    unpacked = idx_files("FashionMNIST")
    md5: ClassVar[Mapping[str, str]] = {}
    names = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
    confusable = None
    inputs = Images((1, 28, 28), (0.2860,), (0.3530,))


class KMNIST(MNIST):
    """70,000 grey images of 28 × 28, cursive Japanese characters (Clanuwat et al., arXiv 1812.01718)."""

    name = "kmnist"
    torchvision_name = "KMNIST"
    unpacked = idx_files("KMNIST")
    md5: ClassVar[Mapping[str, str]] = {}
    names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    confusable = None
    inputs = Images((1, 28, 28), (0.1918,), (0.3483,))


class SVHN(TorchvisionImages):
    """99,289 colour images of 32 × 32, digits of house numbers (Netzer et al. 2011)."""

    name = "svhn"
    torchvision_name = "SVHN"
    unpacked = ("train_32x32.mat", "test_32x32.mat")
    classes = 10
    SPLITS = ({"split": "train"}, {"split": "test"})
    names: Sequence[str] = tuple(str(digit) for digit in range(10))
    inputs = Images((3, 32, 32), (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))

    def offers(self) -> Iterator[Offer]:
        for split in ("train", "test"):
            url, file, md5 = self.factory.split_list[split]
            yield [url], file, md5

    def check(self, data_dir: Path, which: dict[str, Any]) -> None:
        _, file, md5 = self.factory.split_list[which["split"]]
        check_md5(data_dir / file, md5)


def in_order(decoded: Decoded, names: Sequence[str]) -> Decoded:
    """The same images with labels that number ``names``, rather than the names in alphabetical order."""
    number = np.array([list(names).index(name) for name in decoded.names])
    y = decoded.y.numpy()
    return Decoded(decoded.x, decoded.y.new_tensor(number[y]), tuple(names))
