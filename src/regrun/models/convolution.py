"""Shared parts of convolutional networks."""

from __future__ import annotations

from torch import Tensor, nn

from regrun.contracts.inputs import Images, InputSpec
from regrun.contracts.output import Output


def image_channels(inputs: InputSpec) -> int:
    """How many channels the images have.

    Raises:
        ValueError: if the inputs are not images.
    """
    return image_shape(inputs)[0]


def image_shape(inputs: InputSpec) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises:
        ValueError: if the inputs are not images.
    """
    if not isinstance(inputs, Images):
        raise ValueError("this model reads images; choose a dataset of images, or model=mlp")
    return inputs.shape


def conv_bn(fan_in: int, fan_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalization, ReLU; keeps the size at stride 1."""
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(fan_out),
        nn.ReLU(inplace=True),
    )


class Classifier(nn.Module):
    """A body that gives feature vectors, and a linear head.

    Attributes:
        body: maps images ``(batch, channels, height, width)`` to features ``(batch, width)``.
        head: maps features to logits ``(batch, classes)``.
    """

    body: nn.Module
    head: nn.Module

    def forward(self, x: Tensor) -> Output:
        """Logits and features."""
        features = self.body(x)
        return Output(self.head(features), features)


def pooled(*layers: nn.Module) -> nn.Sequential:
    """Layers, then the mean over all positions."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
