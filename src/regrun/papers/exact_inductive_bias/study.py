"""*Towards Exact Computation of Inductive Bias*: the bits that a hypothesis space leaves to be supplied."""

from __future__ import annotations

import math

import numpy as np
import torch

from regrun.contracts.procedure import Context, Description
from regrun.papers.exact_inductive_bias.quadratic_form import Array, fitted_log_below, posterior_error


class Problem:
    """Inputs uniform on ``[-1, 1]^d`` and the target ``tanh(2 w . x)`` with a random unit vector ``w``.

    Args:
        dimension: ``d``.
        samples: number of samples to fit.
        test_samples: number of test samples.
        seed: seed of all randomness.
    """

    def __init__(self, dimension: int, samples: int, test_samples: int, seed: int) -> None:
        if min(dimension, samples, test_samples) < 1:
            raise ValueError(
                "dimension, samples and test_samples must be at least 1, "
                f"got {dimension}, {samples} and {test_samples}"
            )
        rng = np.random.default_rng(seed)
        w = rng.standard_normal(dimension)
        w /= np.linalg.norm(w)
        self.x: Array = rng.uniform(-1, 1, (samples, dimension))
        self.x_test: Array = rng.uniform(-1, 1, (test_samples, dimension))
        self.y: Array = np.tanh(2 * self.x @ w)
        self.y_test: Array = np.tanh(2 * self.x_test @ w)
        self.rng = rng


class KernelBias:
    """Bits of inductive bias that functions of a Gaussian process with an RBF kernel need.

    ``bias_bits = -log2 P(test error <= error | the train samples are fitted)``, 0 where the error exceeds the
    mean, by the saddlepoint of the exact distribution; ``bias_bits_at/error=e`` for other errors.
    ``monte_carlo_ratio`` is the saddlepoint's probability over the share of ``draws``, at the error that a
    hundredth of them stays below. Boopathy et al., arXiv 2406.15941.

    Args:
        dimension: input dimension.
        samples: number of samples to fit.
        test_samples: number of test samples.
        error: mean squared test error that is aimed at.
        draws: number of draws of the cross-check.
    """

    ERRORS = (0.003, 0.01, 0.03, 0.1)
    metrics = ("bias_bits", "bias_bits_at", "mean_error", "monte_carlo_ratio")

    def __init__(
        self,
        dimension: int = 6,
        samples: int = 100,
        test_samples: int = 100,
        error: float = 0.01,
        draws: int = 400_000,
    ) -> None:
        if error <= 0 or draws < 100:
            raise ValueError(f"error must be above 0 and draws at least 100, got {error} and {draws}")
        Problem(dimension, samples, test_samples, 0)  # checks them
        self.dimension = dimension
        self.samples = samples
        self.test_samples = test_samples
        self.error = error
        self.draws = draws

    def __call__(self, context: Context) -> dict[str, float]:
        """Condition, and integrate."""
        problem = Problem(self.dimension, self.samples, self.test_samples, context.seed)
        context.begin(Description(steps=1, precision="64-true", sizes={"samples": self.samples}))
        form = posterior_error(problem.x, problem.y, problem.x_test, problem.y_test)
        drawn = form.sample(self.draws, problem.rng)
        rare = float(np.quantile(drawn, 0.01))
        row = {
            "bias_bits": -form.log_below(self.error) / math.log(2),
            "mean_error": form.mean,
            "monte_carlo_ratio": math.exp(form.log_below(rare)) / float((drawn <= rare).mean()),
        }
        row |= {f"bias_bits_at/error={e:g}": -form.log_below(e) / math.log(2) for e in self.ERRORS}
        context.log(1, row)
        return row


class NetworkBias:
    """Bits of inductive bias that two-layer ReLU networks need, from many that fit the train samples.

    Adam from random initializations until the train error is at most ``fit``, or the steps are spent; a
    scaled non-central chi-square is fitted to their test errors. ``bias_bits`` as for the kernel,
    ``mean_error`` over networks, ``worst_fit`` the largest train error. Boopathy et al., arXiv 2406.15941.

    Args:
        dimension: input dimension.
        samples: number of samples to fit.
        test_samples: number of test samples.
        error: mean squared test error that is aimed at.
        networks: number of networks.
        hidden: units of each.
        steps: maximum number of Adam steps.
        fit: train error that counts as fitted.
    """

    metrics = ("bias_bits", "mean_error", "worst_fit")

    def __init__(
        self,
        dimension: int = 8,
        samples: int = 100,
        test_samples: int = 100,
        error: float = 0.01,
        networks: int = 60,
        hidden: int = 64,
        steps: int = 20_000,
        fit: float = 1e-4,
    ) -> None:
        if error <= 0 or fit <= 0 or networks < 10 or min(hidden, steps) < 1:
            raise ValueError(
                "error and fit must be above 0, networks at least 10, hidden and steps at least 1, "
                f"got {error}, {fit}, {networks}, {hidden} and {steps}"
            )
        Problem(dimension, samples, test_samples, 0)  # checks them
        self.dimension = dimension
        self.samples = samples
        self.test_samples = test_samples
        self.error = error
        self.networks = networks
        self.hidden = hidden
        self.steps = steps
        self.fit = fit

    def __call__(self, context: Context) -> dict[str, float]:
        """Train them all at once, and fit."""
        problem = Problem(self.dimension, self.samples, self.test_samples, context.seed)
        context.begin(Description(steps=self.steps, sizes={"networks": self.networks}))
        generator = torch.Generator().manual_seed(context.seed)

        def uniform(fan_in: int, *shape: int) -> torch.Tensor:
            bound = 1 / math.sqrt(fan_in)
            start = torch.rand(self.networks, *shape, generator=generator) * 2 * bound - bound
            return start.requires_grad_()

        d, h = self.dimension, self.hidden
        w = [uniform(d, d, h), uniform(d, 1, h), uniform(h, h, 1), uniform(h, 1, 1)]

        def outputs(x: torch.Tensor) -> torch.Tensor:
            inner = torch.baddbmm(w[1], x.expand(self.networks, -1, -1), w[0]).relu()
            return torch.baddbmm(w[3], inner, w[2]).squeeze(2)

        x, y, x_test, y_test = (
            torch.from_numpy(a).float() for a in (problem.x, problem.y, problem.x_test, problem.y_test)
        )
        optimizer = torch.optim.Adam(w, 1e-3, fused=True)
        errors = torch.ones(self.networks)
        for step in range(self.steps):
            errors = (outputs(x) - y).square().mean(1)
            if step % 100 == 0:
                context.stop.check()
                context.show(step, float(errors.mean().detach()))
                if float(errors.amax().detach()) <= self.fit:
                    break
            optimizer.zero_grad()
            errors.sum().backward()
            optimizer.step()
        with torch.no_grad():
            losses = (outputs(x_test) - y_test).square().mean(1).double().numpy()
        row = {
            "bias_bits": -min(0.0, fitted_log_below(losses, self.error)) / math.log(2),
            "mean_error": float(losses.mean()),
            "worst_fit": float(errors.amax().detach()),
        }
        context.log(self.steps, row)
        return row
