"""Checks of a solve before its first step, and of its values."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from regrun.solvers.errors import NonFiniteFieldError, ToleranceWarning, UnsupportedGradientError


def check_times(times: Tensor | Sequence[float]) -> list[float]:
    """The times as numbers.

    Raises:
        ValueError: unless there are two at least, all finite, and they ascend or descend; or if gradients
            with respect to them are asked for.
    """
    given = list(times) if isinstance(times, Sequence) else [times]
    if any(isinstance(t, Tensor) and t.requires_grad for t in given):
        raise ValueError(
            "a solution has no gradient with respect to the times; pass times.detach(), and multiply "
            "the field by a parameter to learn how long it flows"
        )
    values = torch.as_tensor(times, dtype=torch.float64)
    if values.dim() != 1 or len(values) < 2:
        raise ValueError(
            "times must be two at least, the initial one first, in one dimension; "
            f"got the shape {tuple(values.shape)}"
        )
    found: list[float] = values.tolist()
    if not all(math.isfinite(t) for t in found):
        raise ValueError(f"times must be finite, got {found}")
    steps = [b - a for a, b in pairwise(found)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        raise ValueError("times must ascend, or descend, without two the same")
    return found


def check_state(y: Tensor) -> None:
    """Raise ``ValueError`` unless the state is one tensor of real numbers with an entry at least."""
    if not isinstance(y, Tensor):
        raise ValueError(
            f"the state must be one tensor, got {type(y).__name__}; join its parts with torch.cat, "
            "and split it in the field"
        )
    if not y.is_floating_point():
        raise ValueError(f"the state must be of real numbers, in a floating-point format; got {y.dtype}")
    if y.numel() == 0:
        raise ValueError(f"the state must have an entry at least, got the shape {tuple(y.shape)}")


def check_tolerances(rtol: float, atol: float) -> None:
    """Raise ``ValueError`` if a tolerance is negative or not finite, or both are 0."""
    if not (0 <= rtol < math.inf and 0 <= atol < math.inf and rtol + atol > 0):
        raise ValueError(f"rtol and atol must be finite, at least 0 and not both 0, got {rtol} and {atol}")


def check_steps(first_step: float | None, max_steps: int) -> None:
    """Raise ``ValueError`` if the first step is not above 0, or none are allowed."""
    if first_step is not None and not first_step > 0:
        raise ValueError(f"first_step must be above 0, also backward in time, got {first_step}")
    if not max_steps >= 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")


def check_first_step(first_step: float, t: float, least: float) -> None:
    """Raise ``ValueError`` if the first step is shorter than the shortest that can be told from none."""
    if first_step < least:
        raise ValueError(
            f"a first_step of {first_step:.3g} at t = {t:.6g} is lost in rounding; take {least:.1g} at least"
        )


def check_resolution(rtol: float, atol: float, y: Tensor) -> None:
    """Warn of a tolerance that the state's floating-point format does not resolve."""
    resolved = torch.finfo(y.dtype).eps
    try:
        size = float(y.detach().square().mean().sqrt())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise UnsupportedGradientError(
            "the steps depend on values, which vmap hides; solve the whole batch at once, "
            "with per_sample=True for steps of each sample's own"
        ) from error
    if atol + rtol * size < 2 * resolved * size:
        warnings.warn(
            f"rtol = {rtol:.1e} is below what {str(y.dtype).removeprefix('torch.')} resolves; "
            f"the smallest sensible is about {10 * resolved:.0e} (compute in float64 for less)",
            ToleranceWarning,
            stacklevel=3,
        )


def check_finite(x: Tensor, t: float, h: float) -> None:
    """Raise ``NonFiniteFieldError`` for the first entry that is infinite or not a number."""
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        raise NonFiniteFieldError(t, h, tuple(bad[0].tolist()))
