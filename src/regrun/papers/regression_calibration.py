"""*A Large-Scale Study of Probabilistic Calibration in Neural Network Regression*: training and mending."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from regrun.contracts.procedure import Context, Description
from regrun.measures.mixture import GaussianMixture, bisect
from regrun.measures.share import share, unless_nan

LEVELS = torch.arange(1, 101, dtype=torch.float64) / 101
LEAST_STD = 1e-3  # of a component, in units of the targets' deviation


@dataclass(frozen=True)
class Part:
    """Standardized inputs ``(n, d)`` and targets ``(n,)`` of one of four parts."""

    x: Tensor
    y: Tensor


class MixtureNetwork(nn.Module):
    """Two ReLU layers, and a head for the weights, means and deviations of a mixture of Gaussians.

    Args:
        inputs: width of an input.
        hidden: units of each layer.
        components: number of mixture components.
    """

    def __init__(self, inputs: int, hidden: int = 100, components: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 3 * components),
        )

    def forward(self, x: Tensor) -> GaussianMixture:
        """A mixture for each input."""
        weight, mean, std = self.layers(x).chunk(3, 1)
        return GaussianMixture(weight.log_softmax(1), mean, nn.functional.softplus(std) + LEAST_STD)


@dataclass(frozen=True, eq=False)
class CalibratedRegression:
    """Trains a network that predicts a distribution, and mends its quantiles on samples set apart.

    Minimizes the negative log-likelihood plus ``penalty`` times PCE-KDE, the probabilistic calibration error
    with a smooth indicator (arXiv 2306.02738). Of several penalties that is kept whose validation PCE is the
    smallest among those with a validation CRPS at most 10 % above that of penalty 0.

    ``pce`` is the mean distance, over 100 levels ``a``, of ``a`` from the share of test targets below their
    predicted ``a``-quantile; even perfect predictions have about ``0.31 / sqrt(n)``. ``nll``, ``crps``,
    ``deviation`` (the predictions' mean) and ``coverage`` (of the middle 90 %) are the test split's, in
    standardized units. ``recalibrated_pce`` and ``recalibrated_coverage`` are those after quantile
    recalibration (Kuleshov et al., arXiv 1807.00263) on the calibration part, and ``conformal_gap`` is the
    largest distance of its 5 %, 50 % and 95 % quantiles from conformal prediction's. ``kept_penalty`` and
    ``epochs`` say what was kept.

    Args:
        problem: gives inputs and targets of a seed.
        penalties: penalty weights of PCE-KDE; 0 first.
        patience: epochs without a better validation loss after which training ends, and the best weights are
            taken; ``None`` trains on to the last epoch.
        epochs: maximum number of epochs.
        lr: Adam's learning rate.
        batch: samples of a step.
        sharpness: sharpness of the smooth indicator.
    """

    metrics = (
        "pce",
        "nll",
        "crps",
        "deviation",
        "coverage",
        "recalibrated_pce",
        "recalibrated_coverage",
        "conformal_gap",
        "kept_penalty",
        "epochs",
    )

    problem: Callable[[int], tuple[Tensor, Tensor]]
    penalties: Sequence[float] = (0.0,)
    patience: int | None = 30
    epochs: int = 300
    lr: float = 1e-3
    batch: int = 128
    sharpness: float = 100.0

    def __post_init__(self) -> None:
        if not self.penalties or self.penalties[0] != 0 or min(self.penalties) < 0:
            raise ValueError(f"penalties must begin with 0 and be at least 0, got {list(self.penalties)}")
        if (
            min(self.epochs, self.batch) < 1
            or (self.patience is not None and self.patience < 1)
            or min(self.lr, self.sharpness) <= 0
        ):
            raise ValueError("epochs, batch and patience must be at least 1, lr and sharpness above 0")

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, keep the best, recalibrate and test."""
        train, validation, calibration, test = parts_of(*self.problem(context.seed), context.seed)
        sizes = {"train": len(train.y), "calibration": len(calibration.y), "test": len(test.y)}
        context.begin(Description(steps=self.epochs * len(self.penalties), sizes=sizes))
        kept: tuple[float, float, MixtureNetwork, int] | None = None
        allowed = math.inf
        for place, penalty in enumerate(self.penalties):
            torch.manual_seed(context.seed)
            model, epochs = self.train(train, validation, penalty, context, place * self.epochs)
            with torch.no_grad():
                seen = predict(model, validation.x)
                crps = float(seen.crps(validation.y.double()).mean())
                error = float(calibration_error(seen.cdf(validation.y.double())))
            if place == 0:
                allowed = 1.1 * crps
            if crps <= allowed and (kept is None or error < kept[0]):
                kept = (error, penalty, model, epochs)
        assert kept is not None
        _, penalty, model, epochs = kept
        row = self.test(model, calibration, test) | {"kept_penalty": penalty, "epochs": float(epochs)}
        context.log(self.epochs * len(self.penalties), row)
        return row

    def train(
        self, train: Part, validation: Part, penalty: float, context: Context, done: int
    ) -> tuple[MixtureNetwork, int]:
        """The network, and after how many epochs it was taken."""
        model = MixtureNetwork(train.x.shape[1])
        optimizer = torch.optim.Adam(model.parameters(), self.lr, fused=True)
        best, state, when = math.inf, None, self.epochs
        for epoch in range(1, self.epochs + 1):
            context.stop.check()
            for index in torch.randperm(len(train.y)).split(self.batch):
                optimizer.zero_grad()
                self.objective(model(train.x[index]), train.y[index], penalty).backward()
                optimizer.step()
            if self.patience is None:
                continue
            with torch.no_grad():
                now = float(self.objective(model(validation.x), validation.y, penalty))
            context.show(done + epoch, now)
            if now < best:
                best, state, when = now, copy.deepcopy(model.state_dict()), epoch
            elif epoch - when >= self.patience:
                break
        if state is not None:
            model.load_state_dict(state)
        return model, when

    def objective(self, predicted: GaussianMixture, y: Tensor, penalty: float) -> Tensor:
        """The mean negative log-likelihood, plus the penalty."""
        nll = -predicted.log_density(y).mean()
        if penalty == 0:
            return nll
        levels = LEVELS.to(y.dtype)
        below = torch.sigmoid(self.sharpness * (levels[:, None] - predicted.cdf(y))).mean(1)
        return nll + penalty * (levels - below).abs().mean()

    @torch.no_grad()
    def test(self, model: MixtureNetwork, calibration: Part, test: Part) -> dict[str, float]:
        """The metrics, without the selected values."""
        y = test.y.double()
        predicted = predict(model, test.x)
        z = predicted.cdf(y)
        apart = predict(model, calibration.x).cdf(calibration.y.double()).sort().values
        mended = ecdf(apart, z)
        return {
            "pce": float(calibration_error(z)),
            "nll": float(-predicted.log_density(y).mean()),
            "crps": float(predicted.crps(y).mean()),
            "deviation": float(predicted.deviation().mean()),
            "coverage": middle(z),
            "recalibrated_pce": float(calibration_error(mended)),
            "recalibrated_coverage": middle(mended),
            "conformal_gap": conformal_gap(predicted, apart),
        }


def predict(model: MixtureNetwork, x: Tensor) -> GaussianMixture:
    """In float64."""
    found = model(x)
    return GaussianMixture(found.log_weight.double(), found.mean.double(), found.std.double())


def calibration_error(z: Tensor) -> Tensor:
    """PCE of values of the predicted distribution functions at the targets, ``(n,)``; ``nan`` if one is."""
    return unless_nan((LEVELS - (z <= LEVELS[:, None]).double().mean(1)).abs().mean(), z)


def middle(z: Tensor) -> float:
    """The share between 5 % and 95 %; ``nan`` if one is."""
    return float(share((z > 0.05) & (z <= 0.95), z))


def ecdf(seen: Tensor, z: Tensor) -> Tensor:
    """``(number of seen values <= z) / (n + 1)``, of sorted values; ``nan`` of one."""
    return (torch.searchsorted(seen, z, right=True).double() / (len(seen) + 1)).where(~z.isnan(), torch.nan)


def conformal_gap(predicted: GaussianMixture, seen: Tensor) -> float:
    """The largest distance of recalibrated quantiles from those of conformal prediction.

    Both are found by bisection: of the recalibrated distribution function, and of the predicted one at the
    ``ceil((n + 1) a)``-th smallest value that was seen.
    """
    gaps = []
    for level in (0.05, 0.5, 0.95):
        rank = math.ceil((len(seen) + 1) * level - 1e-9)
        conformal = predicted.quantile(float(seen[min(rank, len(seen)) - 1]))
        recalibrated = bisect(
            lambda y: ecdf(seen, predicted.cdf(y)), level - 1e-12, predicted.mean, predicted.std, 80
        )
        gaps.append((conformal - recalibrated).abs().max())
    return float(torch.stack(gaps).max())


def parts_of(x: Tensor, y: Tensor, seed: int) -> list[Part]:
    """40 % to train, 10 % to validate, 20 % to calibrate, 30 % to test; standardized by the first."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    cuts = [round(share * len(y)) for share in (0.4, 0.5, 0.7)]
    first = order[: cuts[0]]
    x = (x - x[first].mean(0)) / x[first].std(0)
    y = (y - y[first].mean()) / y[first].std()
    return [Part(x[index].float(), y[index].float()) for index in order.tensor_split(cuts)]


def diabetes(seed: int) -> tuple[Tensor, Tensor]:
    """Scikit-learn's diabetes data: 442 patients, 10 inputs."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return torch.from_numpy(data.data), torch.from_numpy(data.target)


def friedman(seed: int) -> tuple[Tensor, Tensor]:
    """Friedman's first problem: 1500 samples, 10 inputs (5 relevant), noise of standard deviation 1."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(1500, 10, noise=1.0, random_state=seed)
    return torch.from_numpy(x), torch.from_numpy(y)


def skewed(seed: int) -> tuple[Tensor, Tensor]:
    """``sin(3 x_1) + x_2^2 + (0.2 + |x_3|) (e - 1)`` with exponential ``e``: 1500 samples of 5 inputs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1500, 5, generator=generator, dtype=torch.float64)
    noise = torch.empty(1500, dtype=torch.float64).exponential_(generator=generator) - 1
    return x, (3 * x[:, 0]).sin() + x[:, 1].square() + (0.2 + x[:, 2].abs()) * noise
