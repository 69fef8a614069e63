"""VGG with batch normalization, for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from regrun.contracts.inputs import InputSpec
from regrun.models.convolution import Classifier, image_channels, pooled


class VGG(Classifier):
    """VGG-BN with one linear layer. Simonyan & Zisserman, arXiv 1409.1556.

    ``blocks=[2, 2, 3, 3, 3]`` is VGG-16, 14,728,266 parameters for CIFAR-10; ``[2, 2, 4, 4, 4]`` VGG-19,
    20,040,522.

    Args:
        inputs: shape of one image, at least 32 × 32.
        classes: width of the output.
        blocks: convolutions before each pooling, with widths 64, 128, 256, 512, 512.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features ``(batch, 512)``.

    Raises:
        ValueError: if the inputs are not images.
    """

    def __init__(self, inputs: InputSpec, classes: int, blocks: Sequence[int] = (2, 2, 3, 3, 3)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        fan_in = image_channels(inputs)
        for level, count in enumerate(blocks):
            fan_out = min(512, 64 * 2**level)
            for _ in range(count):
                layers += [
                    nn.Conv2d(fan_in, fan_out, 3, padding=1),
                    nn.BatchNorm2d(fan_out),
                    nn.ReLU(inplace=True),
                ]
                fan_in = fan_out
            layers.append(nn.MaxPool2d(2))
        self.body = pooled(*layers)
        self.head = nn.Linear(fan_in, classes)
