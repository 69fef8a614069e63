"""Augmentations of whole batches, against torchvision's of single images."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as V
from torch import Tensor, nn

from regrun.augmentations import Cutout, HorizontalFlip, RandAugment, RandomCrop
from regrun.augmentations.rand_augment import (
    OPERATIONS,
    affine,
    autocontrast,
    blend,
    grey,
    matrix,
    posterize,
    rotation,
)


def images(n: int = 64, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, 12, 10), generator=generator, dtype=torch.uint8)


def test_half_are_mirrored() -> None:
    torch.manual_seed(0)
    x = images(2000)
    result = HorizontalFlip()(x)
    mirrored = (result == x.flip(3)).all((1, 2, 3))
    assert (mirrored | (result == x).all((1, 2, 3))).all()
    assert 0.45 < mirrored.float().mean() < 0.55
    assert torch.equal(HorizontalFlip(1)(x), V.horizontal_flip(x))


def test_a_crop_is_a_window_of_the_padded_image_and_every_place_comes_up() -> None:
    torch.manual_seed(0)
    x = images(400)
    result = RandomCrop(2)(x)
    padded = V.pad(x, [2])
    seen = set()
    for before, after in zip(padded, result, strict=True):
        places = [
            (i, j) for i in range(5) for j in range(5) if torch.equal(V.crop(before, i, j, 12, 10), after)
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25


def test_cutout_hides_one_square_of_grey() -> None:
    torch.manual_seed(0)
    x = torch.full((300, 3, 12, 10), 7, dtype=torch.uint8)
    hidden = Cutout(4, 0.5)(x) == 128
    sizes = hidden[:, 0].sum((1, 2))
    assert sizes.max() == 16
    assert (sizes >= 4).all()  # at a corner a quarter is left
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    rows, columns = hidden[:, 0].any(2).sum(1), hidden[:, 0].any(1).sum(1)
    assert torch.equal(rows * columns, sizes)


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_keeps_type_and_shape_and_does_nothing_at_magnitude_0(channels: int) -> None:
    torch.manual_seed(0)
    x = images(200, channels)
    result = RandAugment(2, 15)(x)
    assert result.dtype == torch.uint8
    assert result.shape == x.shape
    assert (result != x).any((1, 2, 3)).float().mean() > 0.8
    unit = x.float() / 255
    zero = torch.zeros(len(x))
    for operation in OPERATIONS:
        if operation is not autocontrast:
            torch.testing.assert_close(operation(unit, zero), unit, atol=1 / 255, rtol=0)


def test_photometric_operations_are_torchvisions() -> None:
    x = images().float() / 255
    for s in (-0.5, 0.4):
        strength = torch.full((len(x),), s)
        factor = 1 + 0.9 * s
        close = {"atol": 2e-3, "rtol": 0}
        dark = blend(x, torch.zeros_like(x), strength).clamp(0, 1)
        torch.testing.assert_close(dark, V.adjust_brightness(x, factor), **close)
        pale = blend(x, grey(x), strength).clamp(0, 1)
        torch.testing.assert_close(pale, V.adjust_saturation(x, factor), **close)
        flat = blend(x, grey(x).mean((2, 3), keepdim=True), strength).clamp(0, 1)
        torch.testing.assert_close(flat, V.adjust_contrast(x, factor), **close)
    torch.testing.assert_close(autocontrast(x, strength), V.autocontrast(x), atol=1e-5, rtol=0)
    bits = posterize(x, torch.ones(len(x)))
    assert torch.equal(
        (bits * 255).round().to(torch.uint8), V.posterize((x * 255).round().to(torch.uint8), 4)
    )


def test_geometric_operations_move_as_they_should() -> None:
    x = torch.rand(4, 3, 16, 16)
    full = torch.ones(4)
    moved = affine(lambda s: matrix(s, move_x=s / 8))(x, full)  # 1/8 of half the width is one pixel
    torch.testing.assert_close(moved[..., :-1], x[..., 1:], atol=1e-5, rtol=0)
    turned = affine(rotation)(x, full)
    theirs = torch.stack([V.rotate(image - 0.5, 30, V.InterpolationMode.BILINEAR) + 0.5 for image in x])
    torch.testing.assert_close(turned[..., 4:-4, 4:-4], theirs[..., 4:-4, 4:-4], atol=2e-2, rtol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: HorizontalFlip(1.5),
        lambda: RandomCrop(0),
        lambda: Cutout(0),
        lambda: Cutout(4, 2.0),
        lambda: RandAugment(0),
        lambda: RandAugment(2, 31),
    ],
)
def test_parameters_out_of_range_are_refused(make: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()
