"""A plain convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.data.base import InputSpec
from regrun.models.convolution import Classifier, image_channels, pooled


class BlockBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization of blocks of a batch, each by its own statistics.

    A full batch is then normalized as if it came in mini-batches. Of ``k`` blocks the first has every
    ``k``-th sample from the first on, so that blocks do not have classes of their own where samples lie in
    the order of their classes. Hoffer et al., arXiv 1705.08741.

    Args:
        channels: of the input.
        block: samples that share statistics; must divide the batch.
    """

    def __init__(self, channels: int, block: int) -> None:
        super().__init__(channels)
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """From and to ``(batch, channels, height, width)``."""
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
        strides: of each layer.
        norm_block: samples that are normalized together while training, ``None`` for the whole batch.

    Shape:
        input ``(batch, channels, height, width)``, logits ``(batch, classes)``, features ``(batch,
        widths[-1])``.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        widths: Sequence[int] = (32, 64, 64),
        strides: Sequence[int] = (1, 2, 2),
        norm_block: int | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != len(strides) or not widths:
            raise ValueError(f"widths and strides must be as many, got {list(widths)} and {list(strides)}")
        layers: list[nn.Module] = []
        fan_in = image_channels(inputs)
        for width, stride in zip(widths, strides, strict=True):
            norm = nn.BatchNorm2d(width) if norm_block is None else BlockBatchNorm2d(width, norm_block)
            layers += [nn.Conv2d(fan_in, width, 3, stride, 1, bias=False), norm, nn.ReLU()]
            fan_in = width
        self.body = pooled(*layers)
        self.head = nn.Linear(fan_in, classes)
