"""A plain convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec
from regrun.models.convolution import Classifier, image_shape, pooled


class BlockBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization of blocks of a batch, each by its own statistics.

    A full batch is then normalized as if it came in mini-batches. Of ``k`` blocks the first has every
    ``k``-th sample from the first on, so that blocks do not have classes of their own where samples lie in
    the order of their classes. Hoffer et al., arXiv 1705.08741.

    Args:
        channels: number of input channels.
        block: samples that share statistics; must divide the batch.
    """

    def __init__(self, channels: int, block: int) -> None:
        super().__init__(channels)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to the same shape."""
        n, channels, *size = x.shape
        if not self.training or n <= self.block:
            return super().forward(x)
        if n % self.block:
            raise ValueError(f"blocks of {self.block} samples do not divide a batch of {n}")
        blocks = n // self.block
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance = self.running_mean.repeat(blocks), self.running_var.repeat(blocks)
        normal = F.batch_norm(
            x.reshape(self.block, blocks * channels, *size),
            mean,
            variance,
            self.weight.repeat(blocks),
            self.bias.repeat(blocks),
            training=True,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        with torch.no_grad():
            self.running_mean.copy_(mean.view(blocks, channels).mean(0))
            self.running_var.copy_(variance.view(blocks, channels).mean(0))
        return normal.reshape(x.shape)


class SmallCNN(Classifier):
    """Convolutions of 3 × 3 with batch normalization and ReLU, the mean over positions, a linear head.

    Args:
        inputs: must be images.
        classes: width of the output.
        widths: channels of each layer.
        strides: stride of each layer.
        pool: whether the maximum over squares of 2 × 2 follows each layer.
        normalized: whether there is batch normalization.
        norm_block: samples that are normalized together while training, ``None`` for the whole batch.
        hidden: units of a ReLU layer that reads all positions, in place of their mean; ``None`` for the mean.
        head_bias: whether the head has biases.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features ``(batch,
        widths[-1])``, or ``(batch, hidden)``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        widths: Sequence[int] = (32, 64, 64),
        strides: Sequence[int] = (1, 2, 2),
        pool: bool = False,
        normalized: bool = True,
        norm_block: int | None = None,
        hidden: int | None = None,
        head_bias: bool = True,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or not widths:
            raise ValueError(f"widths and strides must be as many, got {list(widths)} and {list(strides)}")
        layers: list[nn.Module] = []
        fan_in, *sides = image_shape(inputs)
        size = tuple(sides)
        for width, stride in zip(widths, strides, strict=True):
            layers.append(nn.Conv2d(fan_in, width, 3, stride, 1, bias=not normalized))
            if normalized:
                norm = nn.BatchNorm2d(width) if norm_block is None else BlockBatchNorm2d(width, norm_block)
                layers.append(norm)
            layers.append(nn.ReLU())
            sides = [-(-side // stride) for side in sides]
            if pool:
                layers.append(nn.MaxPool2d(2))
                sides = [side // 2 for side in sides]
            fan_in = width
        if min(sides) < 1:
            raise ValueError(f"images of {size} are too small for {len(widths)} layers of pooling")
        if hidden is None:
            self.body = pooled(*layers)
        else:
            dense = nn.Linear(fan_in * sides[0] * sides[1], hidden)
            self.body = nn.Sequential(*layers, nn.Flatten(), dense, nn.ReLU())
            fan_in = hidden
        self.head = nn.Linear(fan_in, classes, bias=head_bias)
