"""Regression problems with Gaussian inputs and known targets."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from regrun.contracts.inputs import Features
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.data.criteria import Regression
from regrun.data.generators import generator_of
from regrun.memory import check_memory
from regrun.ranges import check_finite, check_whole


class GaussianInputs(Dataset):
    """Inputs of independent normal entries with variance ``variance``, and one target each.

    Args:
        samples: number of train samples.
        test_samples: number of test samples, without noise.
        dimension: dimension of an input.
        variance: variance of its entries.
        noise: standard deviation of the noise on train targets.
    """

    units = 1  # of the model that generates the targets

    def __init__(
        self, samples: int, test_samples: int, dimension: int, variance: float, noise: float
    ) -> None:
        check_whole(samples=samples, test_samples=test_samples, dimension=dimension)
        check_finite(noise=noise)
        if min(samples, test_samples, dimension) < 1 or noise < 0:
            raise ValueError(
                "samples, test_samples and dimension must be at least 1 and noise at least 0, "
                f"got {samples}, {test_samples}, {dimension} and {noise}"
            )
        self.samples = samples
        self.test_samples = test_samples
        self.dimension = dimension
        self.deviation = math.sqrt(variance)
        self.noise = noise
        self.inputs = Features((dimension,))
        self.classes = 1
        self.criterion = Regression()

    def load(self, data_dir: Path, seed: int) -> Splits:
        """Drawn by ``seed``; reads no file.

        Raises:
            ValueError: if there is too little memory.
        """
        count = self.samples + self.test_samples
        check_memory(
            f"{count:,} samples of {self.dimension:,} dimensions, of {self.units:,} units",
            8 * (count + self.units) * (self.dimension + self.units),
        )
        generator = generator_of(seed)
        target = self.draw_target(generator)
        x, x_test = (
            torch.randn(n, self.dimension, generator=generator) * self.deviation
            for n in (self.samples, self.test_samples)
        )
        clean, test = target(x), target(x_test)
        y = clean + self.noise * torch.randn(len(x), 1, generator=generator) if self.noise else clean
        return Splits(Samples(x, y, clean), Samples(x_test, test, test))

    @abstractmethod
    def draw_target(self, generator: torch.Generator) -> Target:
        """The function of inputs ``(n, dimension)`` that gives targets ``(n, 1)``."""


class Target:
    """A two-layer network ``sum_j a_j phi(w_j . x)`` as the truth.

    Args:
        weights: ``w``, ``(units, dimension)``.
        readout: ``a``, ``(units,)``.
        coefficients: coefficients of the polynomial ``phi``, the constant first; ``None`` for ReLU.
    """

    def __init__(self, weights: Tensor, readout: Tensor, coefficients: Sequence[float] | None = None) -> None:
        self.weights = weights
        self.readout = readout
        self.coefficients = coefficients

    def __call__(self, x: Tensor) -> Tensor:
        """Targets ``(n, 1)``."""
        h = x @ self.weights.T
        if self.coefficients is None:
            units = h.clamp_min(0)
        else:
            units = torch.stack([c * h**k for k, c in enumerate(self.coefficients)]).sum(0)
        return (units @ self.readout)[:, None]


class PolynomialRegression(GaussianInputs):
    """A polynomial of the first coordinate; inputs have entries of variance ``1 / dimension``.

    ``y = sum_k coefficients[k] (sqrt(dimension) x_1)^k``, so that the polynomial's argument is standard
    normal. Kumar et al., arXiv 2310.06110, have ``y = z^2 / 2``.

    Args:
        samples: see ``GaussianInputs``.
        test_samples: see ``GaussianInputs``.
        dimension: see ``GaussianInputs``.
        coefficients: the constant first.
        noise: see ``GaussianInputs``.
    """

    def __init__(
        self,
        samples: int = 300,
        test_samples: int = 1000,
        dimension: int = 40,
        coefficients: Sequence[float] = (0.0, 0.0, 0.5),
        noise: float = 0.0,
    ) -> None:
        super().__init__(samples, test_samples, dimension, 1 / dimension if dimension else 1, noise)
        if not coefficients:
            raise ValueError("coefficients must name at least the constant")
        check_finite(**{f"coefficients[{k}]": c for k, c in enumerate(coefficients)})
        self.coefficients = coefficients

    def draw_target(self, generator: torch.Generator) -> Target:
        """Always the same."""
        w = torch.zeros(1, self.dimension)
        w[0, 0] = math.sqrt(self.dimension)
        return Target(w, torch.ones(1), self.coefficients)


class SparseRegression(GaussianInputs):
    """The sum of the first ``relevant`` coordinates; inputs are standard normal.

    Args:
        samples: see ``GaussianInputs``.
        test_samples: see ``GaussianInputs``.
        dimension: see ``GaussianInputs``.
        relevant: coordinates that count.
        noise: see ``GaussianInputs``.
    """

    def __init__(
        self,
        samples: int = 40,
        test_samples: int = 1000,
        dimension: int = 100,
        relevant: int = 5,
        noise: float = 0.0,
    ) -> None:
        super().__init__(samples, test_samples, dimension, 1.0, noise)
        check_whole(relevant=relevant)
        if not 1 <= relevant <= dimension:
            raise ValueError(f"relevant must lie between 1 and dimension, got {relevant}")
        self.relevant = relevant

    def draw_target(self, generator: torch.Generator) -> Target:
        """Always the same."""
        w = torch.zeros(1, self.dimension)
        w[0, : self.relevant] = 1
        return Target(w, torch.ones(1), (0.0, 1.0))


class StudentTeacher(GaussianInputs):
    """A ReLU network of few units as the truth; inputs are standard normal.

    The teacher's incoming weights are unit vectors in random directions, its outgoing weights 1.

    Args:
        samples: see ``GaussianInputs``.
        test_samples: see ``GaussianInputs``.
        dimension: see ``GaussianInputs``.
        units: number of units of the teacher.
        noise: see ``GaussianInputs``.
    """

    def __init__(
        self,
        samples: int = 40,
        test_samples: int = 1000,
        dimension: int = 5,
        units: int = 2,
        noise: float = 0.0,
    ) -> None:
        super().__init__(samples, test_samples, dimension, 1.0, noise)
        check_whole(units=units)
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units}")
        self.units = units

    def draw_target(self, generator: torch.Generator) -> Target:
        """A teacher."""
        w = torch.randn(self.units, self.dimension, generator=generator)
        return Target(w / w.norm(dim=1, keepdim=True), torch.ones(self.units))
