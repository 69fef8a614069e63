"""Noise that lowers the target's logit while training."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.probability_map import widened
from regrun.contracts.task import Step, Task
from regrun.models.head import linear_head
from regrun.regularizers.base import Regularizer
from regrun.regularizers.targets import as_indices

KINDS = ("angular", "amplitude", "free")


class NoisySoftmax(Regularizer):
    """Replaces the loss by cross-entropy with the target's logit lowered at random.

    ``z_y - alpha |xi| |w_y| |x| (1 - cos theta_y)`` with features ``x``, the head's row ``w_y``, their angle
    ``theta_y`` and standard normal ``xi``, drawn anew at each step. The noise fades as samples come to be
    classified well, and postpones that their gradients vanish. ``amplitude`` leaves out the angle, ``free``
    lets the noise have either sign: the paper's ablations. Chen et al., arXiv 1708.03769.

    Args:
        variance: ``alpha^2``, at least 0.
        kind: ``angular``, ``amplitude`` or ``free``.
    """

    def __init__(self, variance: float = 0.1, kind: str = "angular") -> None:
        super().__init__()
        if not 0 <= variance < math.inf:
            raise ValueError(f"variance must be at least 0, got {variance}")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.scale = math.sqrt(variance)
        self.kind = kind

    def attach(self, task: Task) -> None:
        """Check that the head is an inner product.

        Raises:
            ValueError: if it has a bias.
        """
        if linear_head(task.model).bias is not None:
            raise ValueError("noisy_softmax needs a head without bias; set model.head_bias=false")

    def loss(self, step: Step) -> Tensor:
        z, y = widened(step.output.logits), as_indices(step.batch.y)
        return F.cross_entropy(self.noisy(step, z, y), y)

    def noisy(self, step: Step, z: Tensor, y: Tensor) -> Tensor:
        """The logits that are trained on."""
        if step.output.features is None:
            raise ValueError("noisy_softmax needs penultimate features, which this model does not return")
        own = z.gather(1, y[:, None]).squeeze(1)
        weights, features = linear_head(step.task.model).weight[y].to(z), step.output.features.to(z)
        norms = weights.norm(dim=1) * features.norm(dim=1)
        noise = torch.randn_like(own)
        size = self.scale * (noise if self.kind == "free" else noise.abs())
        lowered = own - size * (norms if self.kind == "amplitude" else norms - own)
        return z.scatter(1, y[:, None], lowered[:, None])
