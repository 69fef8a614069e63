"""*Conformal Inference under High-Dimensional Covariate Shifts*: a threshold fitted for the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.measures.share import share, unless_nan

METHODS = ("split", "weighted", "regularized")
WIDTHS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # widths of the pinball loss's smoothed kink, decreasing


@dataclass(frozen=True)
class Shift:
    """Samples from a source, of which some have scores, and from a shifted target.

    Attributes:
        x: labelled source points with a last entry of 1, ``(n1, d)``.
        score: their conformity scores, ``(n1,)``.
        target: unlabelled target points, ``(n2, d)``.
        source: further unlabelled source points, ``(n3, d)``.
        x_test: target points on which coverage is measured.
        score_test: their scores.
    """

    x: Tensor
    score: Tensor
    target: Tensor
    source: Tensor
    x_test: Tensor
    score_test: Tensor


@dataclass(frozen=True, eq=False)
class ShiftedCoverage:
    """Prediction sets ``{y: score <= h(x)}`` under covariate shift, by one of three thresholds.

    ``split`` is the constant of split conformal prediction. ``weighted`` weighs the scores by a density ratio
    from logistic regression (Tibshirani et al., arXiv 1904.06019); its threshold may be infinite.
    ``regularized`` is linear, and minimizes the mean pinball loss of the scores plus ``penalty (b^2
    mean_source h^2 - 2 b mean_target h)`` over ``h`` and ``b``, which pulls ``h`` towards the density ratio's
    direction without estimating it; a penalty of 0 is quantile regression. Joshi et al., arXiv 2502.13030.

    Reports ``coverage`` on fresh target points, ``threshold``, the mean of those that are finite,
    ``infinite``, the share of those that are not, and ``empty``, the share of thresholds below 0, all of them
    ``nan`` if a threshold is; ``chosen_penalty``, where one was chosen.

    Args:
        problem: gives the samples of a seed.
        method: ``split``, ``weighted`` or ``regularized``.
        penalty: lambda, or ``None`` to choose it from ``grid`` numbers up to ``largest`` by the norm of the
            objective's gradient on held-out folds.
        miscoverage: the share of sets that may miss.
        largest: penalty that is tried.
        grid: number of penalties to try.
        folds: number of cross-validation folds.
    """

    metrics = ("coverage", "threshold", "infinite", "empty", "chosen_penalty")

    problem: Callable[[int], Shift]
    method: str = "regularized"
    penalty: float | None = 0.3
    miscoverage: float = 0.1
    largest: float = 3.0
    grid: int = 10
    folds: int = 3

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if not 0 < self.miscoverage < 1 or (self.penalty is not None and self.penalty < 0):
            raise ValueError(
                "miscoverage must lie in (0, 1) and penalty be at least 0, "
                f"got {self.miscoverage} and {self.penalty}"
            )
        if self.largest <= 0 or min(self.grid, self.folds) < 2:
            raise ValueError(
                "largest must be above 0, grid and folds at least 2, "
                f"got {self.largest}, {self.grid} and {self.folds}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Fit, and count."""
        shift = self.problem(context.seed)
        sizes = {"labelled": len(shift.x), "target": len(shift.target), "source": len(shift.source)}
        context.begin(Description(steps=1, precision="64-true", sizes=sizes))
        chosen = self.penalty if self.penalty is not None else math.nan
        if self.method == "split":
            h = torch.full_like(shift.score_test, split_threshold(shift.score, self.miscoverage))
        elif self.method == "weighted":
            h = weighted_thresholds(shift, self.miscoverage)
        else:
            if self.penalty is None:
                chosen = self.choose(shift, context)
            h = shift.x_test @ fit_threshold(shift, chosen, self.miscoverage)
        finite = h.isfinite()
        row = {
            "coverage": float(share(shift.score_test <= h, h)),
            "threshold": float(unless_nan(h[finite].mean(), h)),
            "infinite": float(share(~finite, h)),
            "empty": float(share(h < 0, h)),
            "chosen_penalty": chosen,
        }
        context.log(1, row)
        return row

    def choose(self, shift: Shift, context: Context) -> float:
        """The penalty whose fits have the smallest gradients on the folds that they have not seen."""
        penalties = torch.linspace(self.largest / self.grid, self.largest, self.grid).tolist()
        norms = dict.fromkeys(penalties, 0.0)
        for train, held in folds_of(shift, self.folds):
            for penalty in penalties:
                context.stop.check()
                theta = fit_threshold(train, penalty, self.miscoverage).requires_grad_()
                objective = lr_qr_objective(theta, held, penalty, self.miscoverage, WIDTHS[-1])
                (gradient,) = torch.autograd.grad(objective, theta)
                norms[penalty] += float(gradient.norm())
        return min(norms, key=lambda penalty: norms[penalty])


def lr_qr_objective(theta: Tensor, shift: Shift, penalty: float, miscoverage: float, width: float) -> Tensor:
    """The pinball loss, and the penalty at its best ``b``, ``-(mean_target h)^2 / mean_source h^2``."""
    away = shift.score - shift.x @ theta
    smooth = (away.square() + width**2).sqrt()
    pinball = (smooth / 2 + (0.5 - miscoverage) * away).mean()
    if penalty == 0:
        return pinball
    h_source, h_target = shift.source @ theta, shift.target @ theta
    return pinball - penalty * h_target.mean().square() / h_source.square().mean()


def fit_threshold(shift: Shift, penalty: float, miscoverage: float) -> Tensor:
    """The coefficients of the linear threshold, from the constant one, by L-BFGS on ever sharper kinks.

    Not convex for a penalty above 0: this is the local minimum nearest to split conformal prediction.
    """
    theta = torch.zeros(shift.x.shape[1], dtype=torch.float64)
    theta[-1] = split_threshold(shift.score, miscoverage)
    theta.requires_grad_()
    for width in WIDTHS:
        method = torch.optim.LBFGS(
            [theta], max_iter=200, tolerance_grad=1e-8, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def closure(width: float = width, method: torch.optim.Optimizer = method) -> Tensor:
            method.zero_grad()
            value = lr_qr_objective(theta, shift, penalty, miscoverage, width)
            value.backward()
            return value

        method.step(closure)
    return theta.detach()


def split_threshold(score: Tensor, miscoverage: float) -> float:
    """The ``ceil((n + 1) (1 - a))``-th smallest score; infinite if there are too few."""
    rank = math.ceil((len(score) + 1) * (1 - miscoverage))
    return math.inf if rank > len(score) else float(score.sort().values[rank - 1])


def weighted_thresholds(shift: Shift, miscoverage: float) -> Tensor:
    """Weighted split conformal prediction, with density ratios from logistic regression."""
    from sklearn.linear_model import LogisticRegression  # takes a second

    x = torch.cat([shift.source, shift.target])[:, :-1].numpy()
    y = [0] * len(shift.source) + [1] * len(shift.target)
    model = LogisticRegression(max_iter=1000).fit(x, y)

    def ratio(points: Tensor) -> Tensor:
        return torch.from_numpy(model.decision_function(points[:, :-1].numpy())).exp()

    order = shift.score.sort()
    total = ratio(shift.x)[order.indices].cumsum(0)
    # The weight of the test point itself lies at infinity.
    needed = (1 - miscoverage) * (total[-1] + ratio(shift.x_test))
    place = torch.searchsorted(total, needed)
    thresholds = torch.cat([order.values, order.values.new_tensor([math.inf])])
    return thresholds[place]


def folds_of(shift: Shift, count: int) -> Iterator[tuple[Shift, Shift]]:
    """Each fold of every kind of samples held out once."""

    def parts(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        held = torch.arange(len(x)) % count == k
        return x[~held], x[held]

    for k in range(count):
        split = [parts(x, k) for x in (shift.x, shift.score, shift.target, shift.source)]
        train, held = (
            Shift(
                split[0][side], split[1][side], split[2][side], split[3][side], shift.x_test, shift.score_test
            )
            for side in (0, 1)
        )
        yield train, held


def gaussian_shift(seed: int, dimensions: int = 20, labelled: int = 500, unlabelled: int = 2000) -> Shift:
    """Standard normal inputs, the target's first shifted by 1, and scores ``exp(x_1 / 2) |N(0, 1)|``.

    Args:
        seed: seed of all randomness.
        dimensions: input dimension.
        labelled: source points with scores.
        unlabelled: unlabelled samples of source and target each; there are 5000 test points.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def points(n: int, mean: float) -> Tensor:
        x = normal(n, dimensions)
        x[:, 0] += mean
        return torch.cat([x, torch.ones(n, 1, dtype=torch.float64)], 1)

    def scores(x: Tensor) -> Tensor:
        return (x[:, 0] / 2).exp() * normal(len(x)).abs()

    x, x_test = points(labelled, 0), points(5000, 1)
    return Shift(x, scores(x), points(unlabelled, 1), points(unlabelled, 0), x_test, scores(x_test))


def diabetes_shift(seed: int) -> Shift:
    """Patients of scikit-learn's diabetes data with a low body mass index, and those with a high one.

    Ridge regression is fitted to 100 of the former; scores are its absolute errors in units of the targets'
    deviation. Half of the latter are for testing.

    Args:
        seed: seed of the splits.
    """
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge

    data = load_diabetes()
    x, y = torch.from_numpy(data.data), torch.from_numpy(data.target)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    x, y = x[order], y[order]
    low = x[:, 2] <= x[:, 2].median()  # body mass index
    model = Ridge(1.0).fit(x[low][:100].numpy(), y[low][:100].numpy())
    score = (y - torch.from_numpy(model.predict(x.numpy()))).abs()
    phi = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    rest, high = phi[low][100:], phi[~low]
    half = len(high) // 2
    return Shift(rest, score[low][100:], high[:half], phi[low][:100], high[half:], score[~low][half:])
