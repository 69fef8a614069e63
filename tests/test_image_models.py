"""Convolutional networks: parameter counts of the literature, shapes, what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from regrun.data import Images, Tokens
from regrun.models import (
    MLP,
    VGG,
    FastResNet,
    PreActResNet,
    ResNet,
    SmallAlexNet,
    SmallInception,
    WideResNet,
)

CIFAR = Images((3, 32, 32), (0.5,) * 3, (0.25,) * 3)
CROP = Images((3, 28, 28), (0.5,) * 3, (0.25,) * 3)
Build = Callable[[Images], nn.Module]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("build", "inputs", "parameters", "width"),
    [
        (lambda i: ResNet(i, 10, [2, 2, 2, 2]), CIFAR, 11_173_962, 512),
        (lambda i: ResNet(i, 10, [3, 4, 6, 3]), CIFAR, 21_282_122, 512),
        (lambda i: PreActResNet(i, 10), CIFAR, 11_171_146, 512),
        (lambda i: WideResNet(i, 10), CIFAR, 36_479_194, 640),
        (lambda i: VGG(i, 10), CIFAR, 14_728_266, 512),
        (lambda i: VGG(i, 10, [2, 2, 4, 4, 4]), CIFAR, 20_040_522, 512),
        (lambda i: MLP(i, 10, [512, 512, 512]), CROP, 1_735_178, 512),
        (lambda i: MLP(i, 10, [512]), CROP, 1_209_866, 512),
        (lambda i: SmallAlexNet(i, 10), CROP, 1_387_786, 192),
        (lambda i: FastResNet(i, 10), CIFAR, 1_922_442, 256),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_parameter_counts_and_shapes(build: Build, inputs: Images, parameters: int, width: int) -> None:
    model = build(inputs).eval()
    assert count(model) == parameters
    with torch.no_grad():
        output = model(torch.randn(2, *inputs.shape))
    assert output.logits.shape == (2, 10)
    assert output.features.shape == (2, width)
    torch.testing.assert_close(model.head(output.features), output.logits)


def test_inception_has_the_papers_count_without_the_scales_of_its_normalizations() -> None:
    model = SmallInception(CROP, 10)
    scales = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert count(model) - scales == 1_649_402


@pytest.mark.parametrize(
    "kind", [ResNet, PreActResNet, WideResNet, VGG, SmallAlexNet, SmallInception, FastResNet]
)
def test_they_read_images_only(kind: Callable[..., nn.Module]) -> None:
    with pytest.raises(ValueError, match="reads images"):
        kind(Tokens(5, 2), 10)


def test_a_wide_resnets_depth_is_checked() -> None:
    with pytest.raises(ValueError, match=r"6 n \+ 4"):
        WideResNet(CIFAR, 10, depth=20)
