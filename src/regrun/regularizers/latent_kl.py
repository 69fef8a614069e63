"""The divergence term of a variational autoencoder."""

from __future__ import annotations

import math

from torch import Tensor

from regrun.contracts.task import Step
from regrun.regularizers.base import Regularizer


class LatentKL(Regularizer):
    """Adds ``w(epoch) * scale * KL(q(z | x) | N(0, I))``, with ``w(e) = max(0, 1 - rate^(e - delay))``.

    Nothing at first, then more and more of it. Rubanova et al., arXiv 1907.03907.

    Args:
        rate: in ``(0, 1)``.
        delay: epochs without.
        scale: divides what the reconstruction loss was divided by: 1 over the observed values of a sample, if
            that is a mean over them.
    """

    def __init__(self, rate: float = 0.99, delay: int = 10, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < rate < 1:
            raise ValueError(f"rate must lie strictly between 0 and 1, got {rate}")
        if not 0 <= scale < math.inf:
            raise ValueError(f"scale must be at least 0, got {scale}")
        self.rate = rate
        self.delay = delay
        self.scale = scale

    def penalty(self, step: Step) -> Tensor:
        """See the class.

        Raises:
            ValueError: if the model has no latent distribution.
        """
        divergence: Tensor | None = (step.output.aux or {}).get("kl")
        if divergence is None:
            raise ValueError(
                f"{type(step.task.model).__name__} has no latent distribution; choose model=latent_ode"
            )
        return (1 - self.rate ** max(0, step.epoch - self.delay)) * self.scale * divergence.mean()
