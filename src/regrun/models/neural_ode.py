"""Neural ordinary differential equations that classify, and that follow trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.inputs import Images, InitialStates, InputSpec, Series
from regrun.contracts.output import Output
from regrun.models.ordinary_dynamics import OrdinaryDynamics
from regrun.models.vector_fields import TanhField
from regrun.solvers import ODESolver


class Flattened(nn.Module):
    """Inputs as vectors; images as intensities in ``[0, 1]``, averaged over squares of pixels.

    Args:
        inputs: shape and type of one input.
        pool: the side of a square.
    """

    def __init__(self, inputs: InputSpec, pool: int) -> None:
        super().__init__()
        if pool < 1:
            raise ValueError(f"pool must be at least 1, got {pool}")
        self.pool = pool
        self.images = inputs if isinstance(inputs, Images) else None
        if isinstance(inputs, Images):
            channels, height, width = inputs.shape
            self.size = channels * (height // pool) * (width // pool)
        elif isinstance(inputs, Series | InitialStates) or pool > 1 or not hasattr(inputs, "shape"):
            raise ValueError(f"this model reads images, or vectors with pool=1, and not {inputs}")
        else:
            self.size = math.prod(inputs.shape)

    def forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """``(batch, ...)`` to ``(batch, size)``."""
        x = x.to(dtype)
        if self.images is not None:
            scale = x.new_tensor(self.images.std)[:, None, None]
            x = x * scale + x.new_tensor(self.images.mean)[:, None, None]
            if self.pool > 1:
                x = F.avg_pool2d(x, self.pool)
        return x.flatten(1)


class NeuralODE(nn.Module):
    """A classifier: the input flows for a while, and a linear layer reads where it arrives.

    The field is ``tanh(W2 [tanh(W1 [u; t]); t])``. Chen et al., arXiv 1806.07366; in the form of Pal et al.,
    *Opening the Blackbox*, arXiv 2105.03918. Computes in the precision of its weights.

    Args:
        inputs: shape and type of one input.
        classes: width of the output.
        hidden: widths of the field's hidden layers.
        pool: side of the squares of pixels that are averaged first.
        span: length of the time interval.
        solver: solver of the equation.

    Shape:
        input as ``inputs`` says, logits ``(batch, classes)``, features: the state at the end.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: Sequence[int] = (100,),
        pool: int = 1,
        span: float = 1.0,
        solver: ODESolver | None = None,
    ) -> None:
        super().__init__()
        self.flatten = Flattened(inputs, pool)
        self.span = span
        field = TanhField(self.flatten.size, hidden)
        self.dynamics = OrdinaryDynamics(field, solver or ODESolver())
        self.head = nn.Linear(self.flatten.size, classes)

    def forward(self, x: Tensor) -> Output:
        states, aux = self.dynamics(self.flatten(x, self.head.weight.dtype), (0.0, self.span))
        return Output(self.head(states[-1]), states[-1], aux)


class TrajectoryODE(nn.Module):
    """Follows trajectories from their initial states, by a field that reads the cubes of the state.

    Args:
        inputs: initial states, and the times.
        classes: entries of a state.
        hidden: widths of the field's hidden layers.
        solver: solver of the equation.

    Shape:
        input ``(batch, size)``, output ``(batch, times, size)``, without the initial time.
    """

    def __init__(
        self,
        inputs: InputSpec,
        classes: int,
        hidden: Sequence[int] = (50,),
        solver: ODESolver | None = None,
    ) -> None:
        super().__init__()
        self.initial = initial_states(inputs)
        field = TanhField(self.initial.size, hidden, with_time=False, bounded=False, cubed=True)
        self.dynamics = OrdinaryDynamics(field, solver or ODESolver())

    def forward(self, x: Tensor) -> Output:
        dtype = next(self.parameters()).dtype
        states, aux = self.dynamics(x.to(dtype), self.initial.times)
        return Output(states[1:].transpose(0, 1), None, aux)


def initial_states(inputs: InputSpec) -> InitialStates:
    """The inputs, if they are initial states.

    Raises:
        ValueError: if they are not.
    """
    if not isinstance(inputs, InitialStates):
        raise ValueError(f"this model reads initial states, and not {inputs}; choose dataset=spiral")
    return inputs
