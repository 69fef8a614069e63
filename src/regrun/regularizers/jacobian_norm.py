"""The penalty on the norm of the input-output Jacobian."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrun.contracts.batch import Batch
from regrun.contracts.inputs import Tokens
from regrun.contracts.task import Step, Task
from regrun.regularizers.base import Regularizer


class JacobianNorm(Regularizer):
    """Adds ``rate`` times the mean Frobenius norm of the Jacobian of the logits with respect to the input.

    ``|J|_F^2`` is estimated by ``C |v^T J|^2`` with a random unit vector ``v`` for each sample (Hoffman et
    al., arXiv 1908.02729); the penalty is the mean of the square roots, kept above 1e-4, as in the code of
    Walker et al., *GrokAlign*, arXiv 2506.12284. Differentiating it takes a second backward pass.

    Args:
        rate: strength, at least 0.
        projections: random vectors for each sample.
    """

    def __init__(self, rate: float = 1e-3, projections: int = 1) -> None:
        super().__init__()
        if not 0 <= rate < math.inf or projections < 1:
            raise ValueError(
                f"rate must be at least 0 and projections at least 1, got {rate} and {projections}"
            )
        self.rate = rate
        self.projections = projections

    def attach(self, task: Task) -> None:
        """Check the inputs.

        Raises:
            ValueError: if they are symbols.
        """
        if isinstance(task.inputs, Tokens):
            raise ValueError("jacobian_norm needs real-valued inputs; symbols have no Jacobian")

    def transform(self, batch: Batch) -> Batch:
        """Make the input something that can be differentiated by."""
        return batch._replace(x=batch.x.detach().requires_grad_())

    def penalty(self, step: Step) -> Tensor:
        z, x = step.output.logits, step.batch.x
        squares = torch.zeros(len(z), dtype=z.dtype, device=z.device)
        for _ in range(self.projections):
            v = torch.randn_like(z)
            v = v / v.norm(dim=1, keepdim=True)
            (row,) = torch.autograd.grad((z * v).sum(), x, create_graph=True)
            squares = squares + z.shape[1] * row.flatten(1).square().sum(1) / self.projections
        return self.rate * squares.clamp_min(1e-8).sqrt().mean()
