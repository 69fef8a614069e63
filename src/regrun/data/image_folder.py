"""Your own images, or an offline mirror of a dataset: one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from regrun.contracts.inputs import Images
from regrun.data.files import misspelt
from regrun.data.image_cache import Decoded, cached, is_cached
from regrun.data.image_tree import decode_tree
from regrun.data.images import ImageDataset
from regrun.data.label_noise import LabelNoise
from regrun.data.pixels import Pixels
from regrun.ranges import check_finite, check_whole


class ImageFolder(ImageDataset):
    """Trees with one folder of images per class, as folders or as tar archives of them.

    Args:
        train: the train split's folder or archive, in the data directory.
        test: the test split's.
        classes: number of classes.
        size: height and width; other images are resized.
        channels: 3 for colour, 1 for grey.
        mean: mean of each channel, on a scale where 1 is white.
        std: standard deviation of each channel.
        label_noise: see ``ImageDataset``.
        pixels: see ``ImageDataset``.
        validation: see ``ImageDataset``.
        train_limit: see ``ImageDataset``.
        test_limit: see ``ImageDataset``.
    """

    def __init__(
        self,
        train: str,
        test: str,
        classes: int,
        size: int,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
        label_noise: LabelNoise,
        pixels: Pixels,
        validation: int = 0,
        train_limit: int | None = None,
        test_limit: int | None = None,
    ) -> None:
        super().__init__(label_noise, pixels, validation, train_limit, test_limit)
        check_whole(classes=classes, size=size, channels=channels)
        check_finite(**{f"mean[{k}]": m for k, m in enumerate(mean)})
        check_finite(**{f"std[{k}]": s for k, s in enumerate(std)})
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels}")
        if size < 1 or classes < 1:
            raise ValueError(f"size and classes must be at least 1, got {size} and {classes}")
        if not len(mean) == len(std) == channels:
            raise ValueError(f"mean and std must have {channels} numbers each, one per channel")
        if min(std) <= 0:
            raise ValueError(f"std must be above 0, got {list(std)}")
        self.train = train
        self.test = test
        self.classes = classes
        self.inputs = Images((channels, size, size), tuple(mean), tuple(std))

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / self.train, data_dir / self.test]

    def is_at_hand(self, data_dir: Path) -> bool:
        return all(f.exists() and is_cached([f], data_dir, f.name) for f in self.files(data_dir))

    def read(self, data_dir: Path) -> tuple[Decoded, Decoded, str]:
        train, test = read_trees(data_dir, data_dir / self.train, data_dir / self.test, self.inputs.shape)
        if len(train.names) != self.classes:
            raise ValueError(
                f"dataset.classes is {self.classes}, and {data_dir / self.train} has {len(train.names)}"
            )
        self.names = train.names
        return train, test, f"images of {self.train} and {self.test}"


def read_trees(
    data_dir: Path, train: Path, test: Path, shape: tuple[int, int, int]
) -> tuple[Decoded, Decoded]:
    """Two trees of the same classes.

    Raises:
        ValueError: if one is missing or damaged, or their classes differ.
    """
    for tree in (train, test):
        if not tree.exists():
            raise ValueError(
                f"{tree} is not there{misspelt(tree, data_dir)}: a folder, or a tar archive, with one folder "
                "per class"
            )
    both = [
        cached([tree], data_dir, tree.name, partial(decode_tree, tree, shape[1], shape[0]))
        for tree in (train, test)
    ]
    if both[0].names != both[1].names:
        odd = sorted({*both[0].names} ^ {*both[1].names})
        raise ValueError(f"{train} and {test} do not have the same classes: {', '.join(odd[:5])}")
    return both[0], both[1]
