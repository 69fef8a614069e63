"""A small residual network that trains in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec
from regrun.models.convolution import Classifier, conv_bn, image_channels, pooled


class Residual(nn.Module):
    """``x + f(x)``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class FastResNet(Classifier):
    """A stem, then at each width a convolution that halves the size and a residual one.

    In the manner of the networks of speed records on CIFAR-10: wide, shallow, small at once. With widths
    ``[64, 256, 256]`` and a stem of 2 × 2 it has 1.9 M parameters.

    Args:
        inputs: shape of one image.
        classes: width of the output.
        widths: widths of the stem and of each further level.
        stem: size of the stem's kernel, which it moves by half (at least 1) at a time.
        residual: whether each level has a residual convolution.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features
        ``(batch, widths[-1])``.

    Raises:
        ValueError: if the inputs are not images.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        widths: Sequence[int] = (64, 256, 256),
        stem: int = 2,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or stem < 1:
            raise ValueError("a FastResNet needs at least two widths, and a stem of at least 1")
        first = nn.Sequential(
            nn.Conv2d(image_channels(inputs), widths[0], stem, max(1, stem // 2), bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = [first]
        for fan_in, fan_out in pairwise(widths):
            layers.append(conv_bn(fan_in, fan_out, 3, 2))
            if residual:
                layers.append(Residual(conv_bn(fan_out, fan_out)))
        self.body = pooled(*layers)
        self.head = nn.Linear(widths[-1], classes)
