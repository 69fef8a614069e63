"""The convolutional networks of *Understanding deep learning requires rethinking generalization*."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec
from regrun.models.convolution import Classifier, conv_bn, image_channels, image_shape, pooled


class SmallAlexNet(Classifier):
    """Two modules of 5 × 5 convolution, 3 × 3 max-pooling and response normalization; 384, 192, classes.

    Zhang et al., arXiv 1611.03530, appendix A; 1,387,786 parameters on 28 × 28 crops of CIFAR-10, as there.

    Args:
        inputs: shape of one image.
        classes: width of the output.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features ``(batch, 192)``.

    Raises:
        ValueError: if the inputs are not images.
    """

    def __init__(self, inputs: InputSpec, classes: int) -> None:
        super().__init__()
        channels, height, width = image_shape(inputs)
        layers: list[nn.Module] = []
        for fan_in in (channels, 64):
            layers += [
                nn.Conv2d(fan_in, 64, 5, padding=2),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(3, 2, padding=1),
                nn.LocalResponseNorm(9, alpha=0.001, beta=0.75),
            ]
            height, width = -(-height // 2), -(-width // 2)
        layers += [nn.Flatten(), nn.Linear(64 * height * width, 384), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers, nn.Linear(384, 192), nn.ReLU(inplace=True))
        self.head = nn.Linear(192, classes)


class Mixed(nn.Module):
    """Several layers side by side, their channels one after another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


# Channels of 1 × 1 and of 3 × 3 convolutions; without the former, the size is halved.
MODULES = (
    *((32, 32), (32, 48), (0, 80)),
    *((112, 48), (96, 64), (80, 80), (48, 96), (0, 96)),
    *((176, 160), (176, 160)),
)


class SmallInception(Classifier):
    """Inception modules of 1 × 1 and 3 × 3 convolutions, as drawn in the paper's figure 3.

    Zhang et al., arXiv 1611.03530; 1,649,402 parameters without the scales of its normalizations, as there.

    Args:
        inputs: shape of one image.
        classes: width of the output.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features ``(batch, 336)``.

    Raises:
        ValueError: if the inputs are not images.
    """

    def __init__(self, inputs: InputSpec, classes: int) -> None:
        super().__init__()
        width = 96
        layers: list[nn.Module] = [conv_bn(image_channels(inputs), width)]
        for ones, threes in MODULES:
            if ones:
                layers.append(Mixed(conv_bn(width, ones, 1), conv_bn(width, threes)))
                width = ones + threes
            else:
                layers.append(Mixed(conv_bn(width, threes, 3, 2), nn.MaxPool2d(3, 2, padding=1)))
                width += threes
        self.body = pooled(*layers)
        self.head = nn.Linear(width, classes)
