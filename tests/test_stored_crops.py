"""Stored crops, a teacher's labels of them, and distillation: invariants, limits, identities."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.augmentations import RandomResizedCrop
from regrun.augmentations.resized_crop import resized_crops
from regrun.data import Batch, Dataset, Images, Samples, Splits, StoredCrops, Tokens, TrainPart
from regrun.models import Output
from regrun.optimizers import cosine, cosine_rewarmed
from regrun.regularizers import RegionLabels, SoftTargets, Step

HERE = Path()
CLASSES = 4


class Pictures(Dataset):
    """Images whose pixels tell which they are."""

    def __init__(self, count: int = 40) -> None:
        self.inputs = Images((1, 8, 8), (0.5,), (0.2,))
        self.classes = CLASSES
        self.count = count

    def load(self, data_dir: Path, seed: int) -> Splits:
        x = torch.arange(self.count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
        y = torch.arange(self.count) % CLASSES
        samples = Samples(x, y, y)
        return Splits(samples, samples)


def test_parts_are_disjoint_and_together_the_whole() -> None:
    mine, rest = (TrainPart(Pictures(), 12, rest).load(HERE, 3).train for rest in (False, True))
    assert sorted([*mine.x[:, 0, 0, 0].tolist(), *rest.x[:, 0, 0, 0].tolist()]) == list(range(40))
    assert torch.bincount(mine.y).tolist() == [3] * CLASSES
    assert len(TrainPart(Pictures(), 40).load(HERE, 0).train) == 40
    with pytest.raises(ValueError, match="too many of 40"):
        TrainPart(Pictures(), 40, rest=True).load(HERE, 0)


def test_crops_belong_to_their_images_and_are_drawn_by_the_seed() -> None:
    crops = StoredCrops(Pictures(), each=3, smallest=0.2)
    train = crops.load(HERE, 0).train
    # A constant image has constant crops.
    assert train.x[:, 0, 0, 0].tolist() == [k // 3 for k in range(120)]
    assert bool((train.x == train.x[:, :, :1, :1]).all())
    assert train.y.tolist() == [(k // 3) % CLASSES for k in range(120)]
    assert crops.load(HERE, 0).fingerprint() == crops.load(HERE, 0).fingerprint()
    with pytest.raises(ValueError, match="only images"):
        StoredCrops(SimpleNamespace(inputs=Tokens(3, 2), classes=3, criterion=None, validation=0))  # type: ignore[arg-type]


def ramp() -> Tensor:
    """Images whose pixels are their columns, eight grey levels apart."""
    return (8 * torch.arange(16, dtype=torch.uint8)).expand(500, 1, 16, 16).contiguous()


def test_the_whole_image_is_a_crop_of_all_of_its_area() -> None:
    x = ramp()
    cut = resized_crops(x, 1.0, torch.Generator().manual_seed(0))
    # The ratio still varies, and cuts what would be wider than the image.
    span = (cut.float().amax((1, 2, 3)) - cut.float().amin((1, 2, 3))) / 120
    assert float(span.amax()) <= 1.0
    assert float(span.amin()) > math.sqrt(3 / 4) - 0.1


def test_crops_have_the_shares_of_area_they_are_asked_for() -> None:
    cut = resized_crops(ramp(), 0.25, torch.Generator().manual_seed(0)).float()
    width = (cut[:, 0, 0, -1] - cut[:, 0, 0, 0]) / 120  # of the part, in the image's
    assert 0.35 < float(width.amin()) < 0.55
    assert float(width.mean()) == pytest.approx(0.77, abs=0.05)
    assert bool((cut.diff(dim=3) >= 0).all())  # nothing is mirrored
    assert RandomResizedCrop(0.3)(ramp()).dtype == torch.uint8
    with pytest.raises(ValueError, match="smallest must lie"):
        RandomResizedCrop(0.0)


def step_of(z: Tensor, index: Tensor) -> Step:
    y = index % CLASSES
    return Step(Batch(z, y, index), Output(z), SimpleNamespace(), 0, 0)  # type: ignore[arg-type]


def taught(n: int = 60, **options: float | bool) -> tuple[RegionLabels, Tensor]:
    teacher = 2 * torch.randn(n, CLASSES, generator=torch.Generator().manual_seed(1))
    labels = RegionLabels(**options)  # type: ignore[arg-type]
    labels.teach(teacher)
    y = torch.arange(n) % CLASSES
    samples = Samples(teacher, y, y)
    task = SimpleNamespace(
        train_samples=n, classes=CLASSES, splits_on_device=lambda: Splits(samples, samples)
    )
    labels.attach(task)  # type: ignore[arg-type]
    return labels, teacher


def test_without_thresholds_all_labels_are_the_teachers() -> None:
    labels, teacher = taught(low=0.0, middle=0.0)
    z = torch.randn(60, CLASSES, generator=torch.Generator().manual_seed(2))
    soft = SoftTargets()
    soft.teach(teacher)
    step = step_of(z, torch.arange(60))
    torch.testing.assert_close(labels.loss(step), soft.loss(step))


def test_with_the_highest_thresholds_no_label_is() -> None:
    z = torch.randn(60, CLASSES, generator=torch.Generator().manual_seed(2))
    labels, _ = taught(low=0.0, middle=1.0, smoothing=0.2)
    expected = F.cross_entropy(z, torch.arange(60) % CLASSES, label_smoothing=0.2)
    torch.testing.assert_close(labels.loss(step_of(z, torch.arange(60))), expected)
    nothing, _ = taught(low=1.0, middle=1.0)
    assert float(nothing.loss(step_of(z, torch.arange(60)))) == 0.0


def test_background_does_not_count() -> None:
    labels, _ = taught(low=0.5, middle=0.7)
    z = torch.randn(60, CLASSES, generator=torch.Generator().manual_seed(2)).requires_grad_()
    labels.loss(step_of(z, torch.arange(60))).backward()
    assert z.grad is not None
    assert torch.equal(z.grad.abs().sum(1) == 0, labels.region == 0)
    assert sorted(set(labels.region.tolist())) == [0, 1, 2]


def test_shuffled_regions_have_the_same_sizes() -> None:
    ours, control = taught(low=0.5, middle=0.7)[0], taught(low=0.5, middle=0.7, shuffled=True)[0]
    assert torch.equal(torch.bincount(ours.region), torch.bincount(control.region))
    assert not torch.equal(ours.region, control.region)
    with pytest.raises(ValueError, match="ascend"):
        RegionLabels(0.5, 0.4)


def test_the_second_warm_up_begins_where_it_is_told_to() -> None:
    whole, warmed = cosine(100), cosine_rewarmed(100, restart=30, again=10)
    assert [warmed(s) for s in range(30)] == [whole(s) for s in range(30)]
    assert warmed(30) == pytest.approx(whole(30) / 11)
    assert [warmed(s) for s in range(40, 101)] == [whole(s) for s in range(40, 101)]
    with pytest.raises(ValueError, match="restart must be a step"):
        cosine_rewarmed(100, restart=100, again=1)


def test_a_part_keeps_the_other_splits() -> None:
    splits = TrainPart(Pictures(), 8).load(HERE, 0)
    assert len(splits.test) == 40
    assert splits.notes == ()
