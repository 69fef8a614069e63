"""Residual networks for small images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec
from regrun.models.convolution import Classifier, conv_bn, image_channels, pooled


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut, normalized and rectified after the sum."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(fan_in, fan_out, 3, stride)
        self.second = conv_bn(fan_out, fan_out)[:2]
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or fan_in != fan_out:
            self.shortcut = conv_bn(fan_in, fan_out, 1, stride)[:2]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


class PreActBlock(nn.Module):
    """Two 3 × 3 convolutions, each after its own normalization and ReLU, and a shortcut.

    Where sizes change, the shortcut starts from the rectified input.
    """

    def __init__(self, fan_in: int, fan_out: int, stride: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(fan_out)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or fan_in != fan_out:
            self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(active)
        return self.conv2(self.dropout(F.relu(self.norm2(self.conv1(active))))) + kept


def stages(
    block: Callable[[int, int, int], nn.Module], fan_in: int, widths: Sequence[int], blocks: Sequence[int]
) -> list[nn.Module]:
    """Blocks of each width, one after another; the size halves where the second width begins, and so on."""
    layers = []
    for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for k in range(count):
            layers.append(block(fan_in, width, 2 if level and not k else 1))
            fan_in = width
    return layers


class ResNet(Classifier):
    """ResNet with the stem for 32 × 32 images: one 3 × 3 convolution, no pooling.

    He et al., arXiv 1512.03385. ``blocks=[2, 2, 2, 2]`` is ResNet-18, 11,173,962 parameters for CIFAR-10;
    ``[3, 4, 6, 3]`` ResNet-34, 21,282,122.

    Args:
        inputs: shape of one image.
        classes: width of the output.
        blocks: number of blocks at each of the four widths.
        width: first width; it doubles at each further level.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features
        ``(batch, 8 * width)``.

    Raises:
        ValueError: if the inputs are not images.
    """

    def __init__(
        self, inputs: InputSpec, classes: int, blocks: Sequence[int] = (2, 2, 2, 2), width: int = 64
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(blocks))]
        self.body = pooled(
            self.stem(image_channels(inputs), width), *stages(self.block, width, widths, blocks)
        )
        self.head = nn.Linear(widths[-1], classes)

    block: type[nn.Module] = BasicBlock

    @staticmethod
    def stem(channels: int, width: int) -> nn.Module:
        """The layers before the blocks."""
        return conv_bn(channels, width)


class PreActResNet(ResNet):
    """ResNet-18 with normalization before the convolutions. He et al., arXiv 1603.05027.

    As in the code that mixup and ELR+ use, 11,171,146 parameters for CIFAR-10, which normalizes once more
    neither after the stem nor before the head.

    Args:
        inputs: shape of one image.
        classes: width of the output.
        blocks: number of blocks at each of the four widths.
        width: first width; it doubles at each further level.

    Shape:
        as ``ResNet``.

    Raises:
        ValueError: if the inputs are not images.
    """

    block = PreActBlock

    @staticmethod
    def stem(channels: int, width: int) -> nn.Module:
        return nn.Conv2d(channels, width, 3, 1, 1, bias=False)


class WideResNet(Classifier):
    """WRN-depth-factor. Zagoruyko & Komodakis, arXiv 1605.07146.

    28-10 has 36,479,194 parameters for CIFAR-10.

    Args:
        inputs: shape of one image.
        classes: width of the output.
        depth: 6 n + 4.
        factor: multiplier of the widths 16, 32, 64.
        dropout: between the convolutions of a block.

    Shape:
        as ``ResNet``, with features ``(batch, 64 * factor)``.

    Raises:
        ValueError: if the inputs are not images, or the depth is not 6 n + 4.
    """

    def __init__(
        self, inputs: InputSpec, classes: int, depth: int = 28, factor: int = 10, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"the depth of a WideResNet must be 6 n + 4, such as 16, 28 or 40, got {depth}")
        stem = nn.Conv2d(image_channels(inputs), 16, 3, 1, 1, bias=False)
        widths = [16 * factor * 2**level for level in range(3)]
        block = partial(PreActBlock, dropout=dropout)
        layers = stages(block, 16, widths, [(depth - 4) // 6] * 3)
        self.body = pooled(stem, *layers, nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
        self.head = nn.Linear(widths[-1], classes)
