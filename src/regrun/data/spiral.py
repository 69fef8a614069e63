"""Trajectories of the cubic spiral, with and without noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.inputs import InitialStates
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.criteria import Regression
from regrun.data.generators import generator_of
from regrun.data.series import BYTES_OF_A_TIME
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole
from regrun.solvers import BrownianPath, SolverError, odeint, sdeint

MATRIX = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64)


def spiral_field(t: Tensor, u: Tensor) -> Tensor:
    """``du_1 = -0.1 u_1^3 + 2 u_2^3``, ``du_2 = -2 u_1^3 - 0.1 u_2^3``."""
    return u**3 @ MATRIX.to(u).T


class Spiral(Dataset):
    """The states of the cubic spiral at equidistant times, from initial states on and near the authors'.

    The first initial state is ``(2, 0)``, further ones are drawn from the annulus with radii 1 and 2. Half of
    the initial states are for testing; where there is only one, so is it. With noise, ``dX = f dt + noise X
    dW``, and the targets are the mean and the variance over paths, other paths for the test split. Pal et
    al., *Opening the Blackbox*, arXiv 2105.03918; the deterministic problem is that of Chen et al., arXiv
    1806.07366.

    Args:
        samples: initial states, 1 or an even number.
        points: times in ``(0, span]``.
        span: the last time.
        noise: strength of the multiplicative noise, 0 for none.
        paths: over which moments are taken.
    """

    inputs: InitialStates

    def __init__(
        self, samples: int = 1, points: int = 30, span: float = 1.0, noise: float = 0.2, paths: int = 100
    ) -> None:
        check_whole(samples=samples, points=points, paths=paths)
        check_finite(span=span, noise=noise)
        if samples != 1 and (samples < 2 or samples % 2):
            raise ValueError(f"samples must be 1 or even, got {samples}")
        if points < 1 or paths < 2 or span <= 0 or noise < 0:
            raise ValueError(
                "points must be at least 1, paths at least 2, span above 0 and noise at least 0, "
                f"got {points}, {paths}, {span} and {noise}"
            )
        self.samples = samples
        self.noise = noise
        self.paths = paths
        check_memory(f"points: {points:,} times", BYTES_OF_A_TIME * points)
        times = [span * k / points for k in range(points + 1)]
        self.inputs = InitialStates(tuple(times), 2)
        self.classes = 4 if noise else 2
        self.criterion = Regression()

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Solve; reads no file.

        Raises:
            ValueError: if there is too little memory, or no solution comes about.
        """
        count = self.samples * (self.paths if self.noise else 1)
        check_memory(
            f"{count:,} paths of {len(self.inputs.times):,} times", 64 * count * len(self.inputs.times)
        )
        generator = generator_of(seed)
        angle = 2 * torch.pi * torch.rand(self.samples, generator=generator, dtype=torch.float64)
        radius = 1 + torch.rand(self.samples, generator=generator, dtype=torch.float64)
        starts = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
        starts[0] = torch.tensor([2.0, 0.0])
        train, test = (starts, starts) if self.samples == 1 else starts.chunk(2)
        try:
            return Splits(self.solve(train, generator), self.solve(test, generator))
        except SolverError as error:
            raise ValueError(f"span {self.inputs.times[-1]:g} and noise {self.noise:g}: {error}") from error

    def solve(self, starts: Tensor, generator: torch.Generator) -> Samples:
        """Samples from these initial states, ``(n, 2)``."""
        times = list(self.inputs.times)
        if self.noise:
            many = starts.repeat_interleave(self.paths, 0)
            path = BrownianPath(tuple(many.shape), 0.0, generator, torch.float64)
            solution = sdeint(
                spiral_field, lambda t, x: self.noise * x, many, times, rtol=1e-3, atol=1e-3, path=path
            )
            states = solution.states[1:].unflatten(1, (len(starts), self.paths))
            y = torch.cat([states.mean(2), states.var(2)], -1)
        else:
            y = odeint(spiral_field, starts, times, rtol=1e-10, atol=1e-10).states[1:]
        y = y.transpose(0, 1).float().contiguous()
        return Samples(starts.float(), y, y)
