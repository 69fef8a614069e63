"""*Towards the Fundamental Limits of Knowledge Transfer over Finite Domains*: what teachers reveal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from regrun.contracts.procedure import Context, Description
from regrun.measures.slope import log_slope

Array = NDArray[np.float64]


def from_labels(counts: Array, teacher: Array) -> Array:
    """Cross-entropy with hard labels: the empirical frequencies."""
    return normalized(counts)


def from_weighted_labels(counts: Array, teacher: Array) -> Array:
    """Cross-entropy weighted by the teacher's probability of the label: biased towards ``pi^2``."""
    return normalized(counts * teacher)


def from_probabilities_of_labels(counts: Array, teacher: Array) -> Array:
    """Squared error of log-probabilities of the labels: they are copied, the rest is spread evenly."""
    seen = counts > 0
    known = np.where(seen, teacher, 0.0)
    unseen = (~seen).sum(-1, keepdims=True)
    rest = np.maximum(1 - known.sum(-1, keepdims=True), 0) / np.maximum(unseen, 1)
    return np.where(seen.any(-1, keepdims=True), np.where(seen, teacher, rest), uniform(teacher))


def from_all_probabilities(counts: Array, teacher: Array) -> Array:
    """Cross-entropy with the teacher's whole distribution, of every input that was seen."""
    return np.where(counts.sum(-1, keepdims=True) > 0, teacher, uniform(teacher))


def normalized(weights: Array) -> Array:
    """Rows that sum to 1; those without weight are uniform."""
    total = weights.sum(-1, keepdims=True)
    return np.where(total > 0, weights / np.where(total > 0, total, 1), uniform(weights))


def uniform(like: Array) -> Array:
    """A uniform distribution over the last dimension."""
    return np.full_like(like, 1 / like.shape[-1])


def total_variation(p: Array, q: Array, weights: Array) -> Array:
    """The mean over inputs, weighted by ``rho``, of the total variation of two conditional distributions."""
    return np.abs(p - q).sum(-1) @ weights / 2


LEARNERS: dict[str, Callable[[Array, Array], Array]] = {
    "labels": from_labels,
    "weighted": from_weighted_labels,
    "partial": from_probabilities_of_labels,
    "full": from_all_probabilities,
}


@dataclass(frozen=True, eq=False)
class KnowledgeTransfer:
    """Learns a teacher's distribution over finite domains from ``n`` samples, four times, in closed form.

    The four see a sample's label (``labels``); its label, weighted by the teacher's probability of it
    (``weighted``); that probability (``partial``); all the teacher's probabilities (``full``). Their risk is
    the total variation distance from the teacher, the mean over inputs.

    ``fixed_NAME`` is the curve over ``n``, at step ``n``, of the risk on a fixed instance, with 20 inputs and
    10 labels, the teacher drawn from a uniform Dirichlet distribution; ``bias`` the distance of the teacher
    from its normalized square. ``rate_NAME`` are risks on instances that grow harder with ``n``, one for each
    learner but ``weighted``, and ``slope_NAME`` their slopes on logarithmic axes; theory says -1/2, -1 and
    -1. ``fit_gap`` is the largest distance, on what was seen, of the closed forms from tables of logits
    fitted to 1000 samples by descending the losses themselves. Zhao & Zhu, arXiv 2310.07838.

    Args:
        sizes: ``n`` on the fixed instance, ascending.
        repeats: data sets on the fixed instance.
        rate_sizes: ``n`` on the growing ones, at least 40.
        rate_repeats: data sets on the growing ones.
    """

    metrics = (
        *(f"fixed_{name}" for name in LEARNERS),
        "bias",
        "fit_gap",
        *(f"{kind}_{name}" for kind in ("rate", "slope") for name in ("labels", "partial", "full")),
    )

    sizes: Sequence[int] = (100, 300, 1000, 3000, 10000, 30000, 100000)
    repeats: int = 100
    rate_sizes: Sequence[int] = (300, 1000, 3000, 10000, 30000)
    rate_repeats: int = 2000

    def __post_init__(self) -> None:
        if (
            min(self.repeats, self.rate_repeats, *self.sizes) < 1
            or min(self.rate_sizes) < 40
            or len(self.rate_sizes) < 2
        ):
            raise ValueError(
                "repeats and sizes must be at least 1, rate_sizes at least 40 and at least two of them"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Learn."""
        rng = np.random.default_rng(context.seed)
        context.begin(Description(steps=max(self.sizes), precision="64-true"))
        even = np.full(20, 1 / 20)
        teacher = rng.dirichlet(np.ones(10), 20)
        row: dict[str, float] = {}
        for n in self.sizes:
            context.stop.check()
            counts = draw(rng, even, teacher, n, self.repeats)
            row = {
                f"fixed_{name}": float(total_variation(learn(counts, teacher), teacher, even).mean())
                for name, learn in LEARNERS.items()
            }
            context.log(n, row)
        row["bias"] = float(total_variation(normalized(teacher**2), teacher, even))
        row["fit_gap"] = fit_gap(draw(rng, even, teacher, 1000, 1)[0], teacher)
        for name in ("labels", "partial", "full"):
            risks = []
            for n in self.rate_sizes:
                context.stop.check()
                weights, hard = hard_instance(name, n)
                counts = draw(rng, weights, hard, n, self.rate_repeats)
                risks.append(float(total_variation(LEARNERS[name](counts, hard), hard, weights).mean()))
                row[f"rate_{name}/samples={n}"] = risks[-1]
            row[f"slope_{name}"] = log_slope(self.rate_sizes, risks)
        return row


def fit_gap(counts: Array, teacher: Array) -> float:
    """The largest total variation, over seen inputs, of fitted tables from the closed forms.

    Of ``partial`` on the labels seen at an input alone: its loss leaves the others open.
    """
    n, truth = torch.from_numpy(counts), torch.from_numpy(teacher)
    losses: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "labels": lambda log_p: -(n * log_p).sum(),
        "weighted": lambda log_p: -(n * truth * log_p).sum(),
        "partial": lambda log_p: (n * (log_p - truth.log()).square()).sum() / 2,
        "full": lambda log_p: -(n.sum(1, keepdim=True) * truth * log_p).sum(),
    }
    gaps = []
    for name, loss in losses.items():
        p = fitted(loss, teacher.shape)
        counted = (counts > 0) if name == "partial" else (counts.sum(-1, keepdims=True) > 0)
        gaps.append((np.abs(p - LEARNERS[name](counts, teacher)) * counted).sum(-1).max() / 2)
    return float(max(gaps))


def fitted(loss: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]) -> Array:
    """The conditional distribution that minimizes a loss of its logarithms, from the uniform one."""
    table = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    method = torch.optim.LBFGS(
        [table], max_iter=300, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        method.zero_grad()
        value = loss(table.log_softmax(-1))
        value.backward()
        return value

    method.step(closure)
    found: Array = table.detach().softmax(-1).numpy()
    return found


def draw(rng: np.random.Generator, weights: Array, teacher: Array, n: int, repeats: int) -> Array:
    """How often each input came with each label: ``(repeats, inputs, labels)``."""
    joint = (weights[:, None] * teacher).ravel()
    counts = rng.multinomial(n, joint / joint.sum(), repeats).astype(np.float64)
    return counts.reshape(repeats, *teacher.shape)


def hard_instance(name: str, n: int) -> tuple[Array, Array]:
    """Weights of inputs and a teacher with which a learner is as slow as can be after ``n`` samples."""
    if name == "labels":  # all uniform: every frequency is off
        return np.full(10, 0.1), np.full((10, 10), 0.1)
    if name == "partial":  # labels so rare that they are about to be seen
        row = np.concatenate([[1 - 19 / n], np.full(19, 1 / n), np.zeros(20)])
        return np.full(2, 0.5), np.stack([row, row])
    weights = np.concatenate([[1 - 39 / n], np.full(39, 1 / n)])  # inputs so rare
    return weights, np.eye(4)[np.zeros(40, dtype=np.int64)]
