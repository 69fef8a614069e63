"""Neural stochastic differential equations that classify, and that follow moments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from regrun.contracts.inputs import InputSpec
from regrun.contracts.output import Output
from regrun.models.neural_ode import Flattened, initial_states
from regrun.models.noisy_dynamics import NoisyDynamics
from regrun.models.vector_fields import TanhField
from regrun.solvers import SDESolver


class LinearDiffusion(nn.Module):
    """``g(t, X) = A X + b``.

    Args:
        size: entries of the state.
        bias: whether there is a ``b``.
    """

    def __init__(self, size: int, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size, bias)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """``(batch, size)`` to the same."""
        result: Tensor = self.layer(x)
        return result


class NeuralSDE(nn.Module):
    """A classifier: a linear layer, a stochastic flow with linear diffusion, and a linear layer.

    Evaluations average the probabilities over paths. Pal et al., *Opening the Blackbox*, arXiv 2105.03918.

    Args:
        inputs: shape and type of one input.
        classes: width of the output.
        size: entries of the state.
        hidden: widths of the drift's hidden layers.
        pool: side of the squares of pixels that are averaged first.
        span: length of the time interval.
        solver: solver of the equation.
        paths: paths per sample in evaluations; training uses one.

    Shape:
        input as ``inputs`` says, logits ``(batch, classes)``, features: the state at the end of a first path.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        size: int = 32,
        hidden: Sequence[int] = (64,),
        pool: int = 1,
        span: float = 1.0,
        solver: SDESolver | None = None,
        paths: int = 10,
    ) -> None:
        super().__init__()
        if paths < 1:
            raise ValueError(f"paths must be at least 1, got {paths}")
        self.flatten = Flattened(inputs, pool)
        self.span = span
        self.paths = paths
        self.stem = nn.Linear(self.flatten.size, size)
        drift = TanhField(size, hidden, with_time=False)
        self.dynamics = NoisyDynamics(drift, LinearDiffusion(size), solver or SDESolver())
        self.head = nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Output:
        paths = 1 if self.training else self.paths
        start = self.stem(self.flatten(x, self.stem.weight.dtype)).repeat(paths, 1)
        states, aux = self.dynamics(start, (0.0, self.span))
        logits = self.head(states[-1])
        if paths > 1:
            logits = logits.log_softmax(1).unflatten(0, (paths, -1)).logsumexp(0) - math.log(paths)
        return Output(logits, states[-1][: len(x)], aux)


class TrajectorySDE(nn.Module):
    """Follows the mean and the variance of stochastic trajectories from their initial states.

    Args:
        inputs: initial states, and the times.
        classes: twice the entries of a state.
        hidden: widths of the drift's hidden layers; the first reads the cubes of the state.
        solver: solver of the equation.
        paths: paths from each initial state.

    Shape:
        input ``(batch, size)``, output ``(batch, times, 2 size)``: means, then variances, without the initial
        time.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: Sequence[int] = (50,),
        solver: SDESolver | None = None,
        paths: int = 100,
    ) -> None:
        super().__init__()
        if paths < 2:
            raise ValueError(f"paths must be at least 2, for a variance; got {paths}")
        self.initial = initial_states(inputs)
        self.paths = paths
        size = self.initial.size
        drift = TanhField(size, hidden, with_time=False, bounded=False, cubed=True)
        self.dynamics = NoisyDynamics(drift, LinearDiffusion(size), solver or SDESolver())

    def forward(self, x: Tensor) -> Output:
        dtype = next(self.parameters()).dtype
        start = x.to(dtype).repeat_interleave(self.paths, 0)
        states, aux = self.dynamics(start, self.initial.times)
        per_start = states[1:].unflatten(1, (len(x), self.paths))
        moments = torch.cat([per_start.mean(2), per_start.var(2)], -1)
        return Output(moments.transpose(0, 1), None, aux)
