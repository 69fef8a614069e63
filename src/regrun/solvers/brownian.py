"""Brownian motion that stays the same path however often, and in whatever order, it is asked for."""

from __future__ import annotations

import bisect
import math
from typing import NamedTuple

import torch
from torch import Tensor


class Increment(NamedTuple):
    """The increment of a path between two times ``s < t``.

    Attributes:
        w: ``W_t - W_s``, normal with variance ``t - s``.
        area: ``int_s^t (W_u - W_s) du``, normal with variance ``(t - s)^3 / 3``.
    """

    w: Tensor
    area: Tensor


class BrownianPath:
    """Independent Brownian motions, with their integrals over time, sampled where they are asked for.

    What has been drawn is kept. Beyond the last time a path goes on independently; between two known times
    it is drawn from the bridge, given its increment and the integral over it, so that a rejected step and the
    shorter ones that follow see one and the same path. Foster, Lyons & Oberhauser, *An optimal polynomial
    approximation of Brownian motion*, SIAM J. Numer. Anal. 58 (2020).

    Args:
        shape: shape of the motions.
        t: initial time.
        generator: generator of the random numbers, by default torch's own.
        dtype: dtype of the values.
        device: device of the values.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        t: float = 0.0,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = tuple(shape)
        self.generator = generator
        self.dtype = dtype
        self.device = torch.device(device)
        self.knots = [float(t)]
        self._pieces: list[Increment] = []

    def increment(self, s: float, t: float) -> Increment:
        """The increment and the integral over ``[s, t]``.

        Raises:
            ValueError: unless ``s < t``, and ``s`` is not before the path begins.
        """
        if not self.knots[0] <= s < t:
            raise ValueError(
                f"a path that begins at {self.knots[0]:.6g} has no increment from {s:.6g} to {t:.6g}"
            )
        first, last = self._knot(s), self._knot(t)
        whole, begin = self._pieces[first], self.knots[first + 1]
        for k in range(first + 1, last):
            end = self.knots[k + 1]
            whole = join(whole, self._pieces[k], end - begin)
            begin = end
        return whole

    def _knot(self, t: float) -> int:
        """The position of a time among the known ones, after making it known."""
        place = bisect.bisect_left(self.knots, t)
        if place < len(self.knots) and self.knots[place] == t:
            return place
        if place == len(self.knots):
            self._pieces.append(self._free(t - self.knots[-1]))
        else:
            s, u = self.knots[place - 1], self.knots[place]
            self._pieces[place - 1 : place] = self._bridge(self._pieces[place - 1], t - s, u - t)
        self.knots.insert(place, t)
        return place

    def _normal(self) -> Tensor:
        return torch.randn(self.shape, generator=self.generator, dtype=self.dtype, device=self.device)

    def _free(self, h: float) -> Increment:
        w = self._normal() * math.sqrt(h)
        return Increment(w, h * (w / 2 + self._normal() * math.sqrt(h / 12)))

    def _bridge(self, whole: Increment, left: float, right: float) -> tuple[Increment, Increment]:
        """Two parts of a known piece, of these lengths."""
        h = left + right
        levy = whole.area / h - whole.w / 2  # independent of w
        d = math.sqrt(left**3 + right**3)
        a = left**3.5 * right**0.5 / (2 * h * d)
        b = left**0.5 * right**3.5 / (2 * h * d)
        c = math.sqrt(3) * (left * right) ** 1.5 / (6 * d)
        first, second = self._normal(), self._normal()
        w = whole.w * (left / h) + levy * (6 * left * right / h**2) + first * (2 * (a + b) / h)
        levy_left = levy * (left / h) ** 2 - first * (a / left) + second * (c / left)
        area = left * (w / 2 + levy_left)
        rest = Increment(whole.w - w, whole.area - area - w * right)
        return Increment(w, area), rest


def join(left: Increment, right: Increment, length: float) -> Increment:
    """The increment over two adjacent intervals, the second of this length."""
    return Increment(left.w + right.w, left.area + right.area + left.w * length)
