"""Weights as a bounded function of trained parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from regrun.contracts.task import Task
from regrun.regularizers.base import Regularizer
from regrun.regularizers.norm_loss import LAYERS

FUNCTIONS = ("arctan", "tanh", "clamp")


class Compander(nn.Module):
    """``w = a psi(v / b)`` with ``psi`` arctan, tanh or a clamp; of slope ``a / b`` at 0.

    Args:
        bound: the largest ``|w|``.
        slope: slope at 0; above 1 it drives weights away from 0.
        function: ``arctan``, ``tanh`` or ``clamp``, which has slope 1.
        learnt: whether ``a`` and ``b`` are trained, by their logarithms.
        dtype: format of these, torch's default if none is given.
    """

    log_a: Tensor
    log_b: Tensor

    def __init__(
        self, bound: float, slope: float, function: str, learnt: bool, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.function = function
        a = bound / (math.pi / 2) if function == "arctan" else bound
        b = a if function == "clamp" else a / slope
        for name, value in (("log_a", a), ("log_b", b)):
            tensor = torch.tensor(math.log(value), dtype=dtype)
            if learnt:
                setattr(self, name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    def forward(self, v: Tensor) -> Tensor:
        """The weights."""
        a, scaled = self.log_a.exp(), v / self.log_b.exp()
        if self.function == "arctan":
            return a * scaled.atan()
        return a * (scaled.tanh() if self.function == "tanh" else scaled.clamp(-1, 1))

    def right_inverse(self, w: Tensor) -> Tensor:
        """The parameters for given weights, clamped close to the bound."""
        a, b = self.log_a.exp(), self.log_b.exp()
        if self.function == "arctan":
            return b * (w / a).clamp(-1.5, 1.5).tan()
        if self.function == "tanh":
            return b * (w / a).clamp(-0.999, 0.999).atanh()
        return b * (w / a)


class WeightCompander(Regularizer):
    """Trains ``v`` with ``w = a arctan(v / b)`` in place of every convolution's and linear layer's weights.

    A layer's bound is ``bound`` times the deviation of its initial weights, which stay as they are. Wetzel et
    al., arXiv 2306.16993; the function and its constants are remembered, not looked up.

    Args:
        bound: in units of the initial standard deviation, above 0.
        slope: ``a / b``, at least 1.
        function: ``arctan``, ``tanh``, or ``clamp``, which is linear up to the bound.
        learnt: whether ``a`` and ``b`` are trained.
    """

    def __init__(
        self, bound: float = 4.0, slope: float = 2.0, function: str = "arctan", learnt: bool = False
    ) -> None:
        super().__init__()
        if not (0 < bound < math.inf and 1 <= slope < math.inf):
            raise ValueError(f"bound must be above 0 and slope at least 1, got {bound} and {slope}")
        if function not in FUNCTIONS:
            raise ValueError(f"function must be one of {', '.join(FUNCTIONS)}, got {function!r}")
        self.bound = bound
        self.slope = slope
        self.function = function
        self.learnt = learnt

    def attach(self, task: Task) -> None:
        """Put the function between what is trained and what is used.

        Raises:
            ValueError: if the initial weights of a layer have no deviation.
        """
        for name, module in list(task.model.named_modules()):
            if not isinstance(module, LAYERS):
                continue
            weight = module.weight.detach()
            if bool((weight == weight.flatten()[0]).all()):
                raise ValueError(
                    "weight_compander bounds weights by the deviation of their initial values, and those of "
                    f"{name or type(task.model).__name__} are all the same"
                )
            bound = self.bound * float(weight.std())
            compander = Compander(bound, self.slope, self.function, self.learnt, weight.dtype)
            parametrize.register_parametrization(module, "weight", compander)
