"""*Categorical Reparameterization with Gumbel-Softmax*: training through discrete variables."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.inputs import Images
from regrun.contracts.procedure import Context, Description
from regrun.data.base import Dataset
from regrun.probability_maps.gumbel_softmax import GumbelSoftmax, straight_through

VARIABLES, CATEGORIES = 20, 10
CODE = VARIABLES * CATEGORIES
Sampling = Callable[[Tensor], Tensor]
ESTIMATORS = ("gumbel", "gumbel_straight_through", "straight_through", "score_function")


class Sampler:
    """Draws one-hot codes, or their relaxations in training.

    Args:
        estimator: gradient estimator.
        temperature: temperature of the Gumbel estimators.
    """

    def __init__(self, estimator: str, temperature: float) -> None:
        self.estimator = estimator
        self.temperature = temperature
        self.log_p: Tensor | float = 0.0

    def __call__(self, logits: Tensor) -> Tensor:
        """From and to ``(batch, variables * categories)``; adds to ``log_p`` what a score function needs."""
        z = logits.unflatten(-1, (VARIABLES, CATEGORIES))
        if self.estimator.startswith("gumbel"):
            hard = self.estimator == "gumbel_straight_through"
            return GumbelSoftmax(self.temperature, hard)(z).flatten(-2)
        drawn = torch.distributions.OneHotCategorical(logits=z)
        code: Tensor = drawn.sample()
        if self.estimator == "straight_through":
            p = z.softmax(-1)
            return (code - p.detach() + p).flatten(-2)
        self.log_p = self.log_p + drawn.log_prob(code).sum(-1)
        return code.flatten(-2)


def discrete(logits: Tensor) -> Tensor:
    """True samples."""
    z = logits.unflatten(-1, (VARIABLES, CATEGORIES))
    return torch.distributions.OneHotCategorical(logits=z).sample().flatten(-2)


class DiscreteNetwork(nn.Module, ABC):
    """A model of images with discrete latent variables."""

    @abstractmethod
    def log_likelihood(self, x: Tensor, sample: Sampling) -> Tensor:
        """The log-likelihood with one sample per image, ``(batch,)``."""

    @abstractmethod
    def evidence(self, x: Tensor, samples: int) -> Tensor:
        """The evidence of images, over discrete samples, ``(batch,)``."""


class HalfPrediction(DiscreteNetwork):
    """Predicts the lower half of an image from the upper one through two layers of discrete variables."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(392, CODE), nn.Linear(CODE, CODE), nn.Linear(CODE, 392)])

    def log_likelihood(self, x: Tensor, sample: Sampling) -> Tensor:
        """The log-likelihood with one sample per image, ``(batch,)``."""
        upper, lower = x.split(392, 1)
        first = sample(self.layers[0](upper))
        second = sample(self.layers[1](first))
        return bernoulli(self.layers[2](second), lower)

    @torch.no_grad()
    def evidence(self, x: Tensor, samples: int) -> Tensor:
        """``log mean p(lower | sample)`` over discrete samples, ``(batch,)``."""
        found = torch.stack([self.log_likelihood(x, discrete) for _ in range(samples)])
        return found.logsumexp(0) - math.log(samples)


class CategoricalVAE(DiscreteNetwork):
    """Autoencoder of images with discrete codes, uniform a priori."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 256), nn.Tanh(), nn.Linear(256, CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, 256), nn.Tanh(), nn.Linear(256, 784))

    def log_likelihood(self, x: Tensor, sample: Sampling) -> Tensor:
        """The evidence lower bound of one sample for each image, ``(batch,)``."""
        logits = self.encoder(x)
        log_q = logits.unflatten(-1, (VARIABLES, CATEGORIES)).log_softmax(-1)
        divergence = (log_q.exp() * (log_q + math.log(CATEGORIES))).sum((-1, -2))
        return bernoulli(self.decoder(sample(logits)), x) - divergence

    @torch.no_grad()
    def evidence(self, x: Tensor, samples: int) -> Tensor:
        """The bound, the mean over discrete samples, ``(batch,)``."""
        return torch.stack([self.log_likelihood(x, discrete) for _ in range(samples)]).mean(0)


def bernoulli(logits: Tensor, pixels: Tensor) -> Tensor:
    """The log-likelihood of binary pixels, ``(batch,)``."""
    return -F.binary_cross_entropy_with_logits(logits, pixels, reduction="none").sum(1)


@dataclass(frozen=True, eq=False)
class DiscreteTraining:
    """Trains a network with discrete variables on binary images, by one of four estimators of the gradient.

    ``gumbel`` relaxes samples at a temperature ``max(0.5, exp(-rate t))``, updated every 500 steps;
    ``gumbel_straight_through`` makes them one-hot, with that gradient; ``straight_through`` draws them, with
    the gradient of the probabilities; ``score_function`` is REINFORCE with a moving average as baseline, and
    divided by the moving deviation where that is above 1. ``test_nll`` is the negative log-likelihood in nats
    of the test images, with discrete samples, whatever was trained on: of the lower half by the mean over
    ``samples``, of the autoencoder the mean bound. Jang et al., arXiv 1611.01144.

    Args:
        dataset: dataset of 28 × 28 images, binarized at half of white.
        model: ``half`` or ``vae``.
        estimator: gradient estimator.
        rate: decay rate of the temperature per step.
        lr: Adam's learning rate.
        batch: images of a step.
        steps: number of training steps.
        eval_every: steps between evaluations.
        samples: samples of the final evaluation; others use a tenth.
    """

    MODELS: ClassVar[dict[str, type[DiscreteNetwork]]] = {"half": HalfPrediction, "vae": CategoricalVAE}
    metrics = ("test_nll", "train_nll", "temperature")

    dataset: Dataset
    steps: int
    eval_every: int
    model: str = "half"
    estimator: str = "gumbel"
    rate: float = 1e-4
    lr: float = 1e-3
    batch: int = 100
    samples: int = 100

    def __post_init__(self) -> None:
        if self.model not in self.MODELS:
            raise ValueError(f"model must be one of {', '.join(self.MODELS)}, got {self.model!r}")
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")
        if not isinstance(self.dataset.inputs, Images) or self.dataset.inputs.shape != (1, 28, 28):
            raise ValueError("discrete variables are trained on images of 28 × 28; choose dataset=mnist")
        if min(self.steps, self.eval_every, self.batch, self.samples) < 1 or self.lr <= 0 or self.rate < 0:
            raise ValueError(
                "steps, eval_every, batch and samples must be at least 1, lr above 0 and rate at least 0"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Train."""
        splits = self.dataset.load(context.data_dir, context.seed)
        train, test = ((part.x.flatten(1) > 127).float() for part in (splits.train, splits.test))
        torch.manual_seed(context.seed)
        network = self.MODELS[self.model]()
        optimizer = torch.optim.Adam(network.parameters(), self.lr, fused=True)
        context.begin(
            Description(steps=self.steps, sizes=splits.sizes, data_fingerprint=splits.fingerprint())
        )
        baseline, square, temperature = None, 1.0, 1.0
        row: dict[str, float] = {}
        for step in range(self.steps + 1):
            context.stop.check()
            if step % self.eval_every == 0 or step == self.steps:
                samples = self.samples if step == self.steps else max(1, self.samples // 10)
                row = {
                    "test_nll": -float(network.evidence(test, samples).mean()),
                    "train_nll": -float(network.evidence(train[: len(test)], max(1, samples // 10)).mean()),
                    "temperature": temperature,
                }
                context.log(step, row)
                context.show(step, row["test_nll"])
            if step == self.steps:
                break
            if step % 500 == 0:
                temperature = max(0.5, math.exp(-self.rate * step))
            x = train[torch.randint(len(train), (self.batch,))]
            sampler = Sampler(self.estimator, temperature)
            found = network.log_likelihood(x, sampler)
            objective = -found.mean()
            if self.estimator == "score_function":
                reward = found.detach()
                mean, spread = float(reward.mean()), float(reward.var())
                baseline = mean if baseline is None else 0.9 * baseline + 0.1 * mean
                square = 0.9 * square + 0.1 * spread
                advantage = (reward - baseline) / max(1.0, math.sqrt(square))
                objective = objective - (advantage * sampler.log_p).mean()
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
        return row


@dataclass(frozen=True, eq=False)
class SamplingCheck:
    """Whether Gumbel samples are those of the categorical distribution, and how soft they are.

    ``frequency_distance`` is the total variation between the shares of the largest entries among ``samples``
    and the probabilities; ``largest_weight/temperature=T`` the mean largest weight.

    Args:
        samples: number of samples.
    """

    TEMPERATURES = (0.1, 0.5, 1.0, 2.0, 10.0)
    metrics = ("frequency_distance", "largest_weight")

    samples: int = 100_000

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")

    def __call__(self, context: Context) -> dict[str, float]:
        """Draw."""
        torch.manual_seed(context.seed)
        log_p = torch.randn(CATEGORIES).log_softmax(0)
        context.begin(Description(steps=1))
        row: dict[str, float] = {}
        for temperature in self.TEMPERATURES:
            drawn = GumbelSoftmax(temperature)(log_p.expand(self.samples, -1))
            row[f"largest_weight/temperature={temperature:g}"] = float(drawn.amax(1).mean())
        shares = straight_through(drawn).mean(0)
        row["frequency_distance"] = float((shares - log_p.exp()).abs().sum() / 2)
        context.log(1, row)
        return row
