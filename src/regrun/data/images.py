"""Classification of images: subsets, validation, label noise and changed pixels, whatever the source."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.inputs import Images
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.generators import generator_of
from regrun.data.image_cache import Decoded
from regrun.data.label_noise import LabelNoise, TrueLabels
from regrun.data.pixels import Pixels
from regrun.ranges import check_whole


class ImageDataset(Dataset):
    """Images in memory as uint8, with labels that may be corrupted.

    The train and the validation split are stratified by the true class, and both are corrupted; the test
    split never is. All that is random follows the seed.

    Args:
        label_noise: corrupts the train and the validation labels.
        pixels: changes the images of all splits.
        validation: number of samples held out for model selection, 0 for none.
        train_limit: number of training samples, ``None`` for all that remain.
        test_limit: number of test samples, ``None`` for all.
    """

    inputs: Images
    names: Sequence[str]
    confusable: Sequence[int] | None = None

    def __init__(
        self,
        label_noise: LabelNoise,
        pixels: Pixels,
        validation: int = 0,
        train_limit: int | None = None,
        test_limit: int | None = None,
    ) -> None:
        check_whole(validation=validation)
        if validation < 0:
            raise ValueError(f"validation must be at least 0, got {validation}")
        for name, limit in {"train_limit": train_limit, "test_limit": test_limit}.items():
            if limit is not None:
                check_whole(**{name: limit})
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, or null for all, got {limit}")
        self.label_noise = label_noise
        self.pixels = pixels
        self.validation = validation
        self.train_limit = train_limit
        self.test_limit = test_limit

    @abstractmethod
    def read(self, data_dir: Path) -> tuple[Decoded, Decoded, str]:
        """The train and the test images, and where they come from in a few words."""

    def load(self, data_dir: Path, seed: int) -> Splits:
        """See ``Dataset``.

        Raises:
            ValueError: if files are missing or damaged, or there are fewer samples than are asked for.
        """
        train, test, source = self.read(data_dir)
        generator = generator_of(seed)
        held_out = self.validation
        wanted = len(train.y) - held_out if self.train_limit is None else self.train_limit
        chosen = stratified(train.y, min(wanted + held_out, len(train.y)), generator)
        apart = stratified(train.y[chosen], held_out, generator)
        is_kept = torch.ones(len(chosen), dtype=torch.bool)
        is_kept[apart] = False
        kept = is_kept.nonzero().squeeze(1)
        if len(kept) < max(1, wanted):
            raise ValueError(
                f"{wanted} samples to train on and {held_out} for validation are more than the "
                f"{len(train.y)} there are"
            )
        tested = stratified(test.y, min(self.test_limit or len(test.y), len(test.y)), generator)

        self.pixels.begin(train.x.shape[1:], generator)
        x, x_test = (
            self.pixels.change(images, generator) for images in (pick(train.x, chosen), pick(test.x, tested))
        )
        y, y_test = train.y[chosen], test.y[tested]
        truth = TrueLabels(y, x, chosen, len(train.y), self.names, self.confusable)
        noisy = self.label_noise.corrupt(truth, generator)
        warning = self.label_noise.warning(len(self.names))
        return Splits(
            Samples(pick(x, kept), noisy[kept], y[kept]),
            Samples(x_test, y_test, y_test),
            Samples(x[apart], noisy[apart], y[apart]) if held_out else None,
            tuple(note for note in (source, warning) if note),
        )


def pick(x: Tensor, index: Tensor) -> Tensor:
    """The images at these positions; the tensor itself, which may be memory-mapped, if these are all."""
    return x if len(index) == len(x) else x[index]


def stratified(y: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` sorted positions, stratified by class."""
    if count >= len(y) or count == 0:
        return torch.arange(count)
    order = torch.randperm(len(y), generator=generator)
    order = order[y[order].argsort(stable=True)]  # class by class, shuffled within
    # Evenly spaced positions of that order fall into each class in proportion to its size.
    places = torch.arange(count, dtype=torch.float64).add(0.5).mul(len(y) / count).long()
    return order[places].sort().values
