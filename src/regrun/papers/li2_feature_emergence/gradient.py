"""*Provable Scaling Laws of Feature Emergence*: the dynamics of the first two stages of grokking."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.measures.fourier import inverse_participation_ratio

DECAYS = (1e-2, 1.0, 1e2, 1e3)


@dataclass(frozen=True, eq=False)
class FeatureGradient:
    """The lazy and the independent stage of a two-layer network on modular addition, in float64.

    All ``M^2`` pairs as one-hot rows ``X``, features ``F = (X W)^2``, ridge regression ``V`` on centred
    features ``F~`` to centred one-hot labels ``Y~`` with decay ``eta``. The gradient that descends to the
    features, by automatic differentiation, is compared with ``eta (F~ F~^T + eta)^-1 Y~ Y~^T (F~ F~^T +
    eta)^-1 F~``: ``identity_error/decay=eta``, relative. ``gradient_cosine/decay=eta`` is its cosine with
    ``Y~ Y~^T F~``. Then ``units`` random neurons ascend ``E(w) = |Y~^T (X w)^2|^2 / 2`` on the sphere;
    ``ipr_before`` and ``ipr_after`` are medians of the inverse participation ratio of their weights for each
    operand. Tian, arXiv 2509.21519.

    Args:
        modulus: ``M``.
        hidden: features of the first stage.
        units: number of ascending units.
        steps: number of ascent steps.
    """

    metrics = ("identity_error", "gradient_cosine", "ipr_before", "ipr_after")

    modulus: int = 23
    hidden: int = 2048
    units: int = 64
    steps: int = 100

    def __post_init__(self) -> None:
        if self.modulus < 3 or min(self.hidden, self.units, self.steps) < 1:
            raise ValueError(
                "modulus must be at least 3, hidden, units and steps at least 1, "
                f"got {self.modulus}, {self.hidden}, {self.units} and {self.steps}"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Both stages."""
        m = self.modulus
        generator = torch.Generator().manual_seed(context.seed)
        pairs = torch.cartesian_prod(torch.arange(m), torch.arange(m))
        x = torch.nn.functional.one_hot(pairs, m).flatten(1).double()
        y = centred(torch.nn.functional.one_hot(pairs.sum(1) % m, m).double())
        context.begin(Description(steps=self.steps, precision="64-true", sizes={"pairs": len(x)}))
        w = torch.randn(2 * m, self.hidden, generator=generator, dtype=torch.float64) / (2 * m) ** 0.5
        row: dict[str, float] = {}
        for decay in DECAYS:
            context.stop.check()
            found = lazy_gradient((x @ w).square(), y, decay)
            row |= {f"{name}/decay={decay:g}": value for name, value in found.items()}

        u = torch.randn(2 * m, self.units, generator=generator, dtype=torch.float64)
        u = u / u.norm(dim=0)
        row["ipr_before"] = periodicity(u)
        for step in range(self.steps):
            h = x @ u
            g = 2 * x.T @ (h * (y @ (y.T @ h.square())))
            u = u + 0.5 * g / g.norm(dim=0)
            u = u / u.norm(dim=0)
            if step % 10 == 9:
                context.log(step + 1, {"ipr_after": periodicity(u)})
        return row | {"ipr_after": periodicity(u)}


def centred(x: Tensor) -> Tensor:
    """Less the mean over rows."""
    return x - x.mean(0)


def periodicity(u: Tensor) -> float:
    """The median inverse participation ratio of both halves of each column."""
    return float(inverse_participation_ratio(torch.cat(u.chunk(2), 1).T).median())


def lazy_gradient(features: Tensor, y: Tensor, decay: float) -> dict[str, float]:
    """The gradient that ridge regression sends back to its features, against its closed form.

    Args:
        features: ``F``, ``(n, K)``.
        y: centred labels, ``(n, M)``.
        decay: weight decay of the regression.
    """
    f = features.detach().requires_grad_()
    inner = centred(f).detach()
    size = inner.shape[1]
    v = torch.linalg.solve(inner.T @ inner + decay * torch.eye(size, dtype=f.dtype), inner.T @ y)
    loss = 0.5 * (y - centred(f @ v)).square().sum()
    (gradient,) = torch.autograd.grad(loss, f)
    resolvent = torch.linalg.inv(inner @ inner.T + decay * torch.eye(len(f), dtype=f.dtype))
    expected = decay * resolvent @ y @ y.T @ resolvent @ inner
    simple = y @ (y.T @ inner)
    cosine = (-gradient * simple).sum() / (gradient.norm() * simple.norm())
    error = (-gradient - expected).norm() / expected.norm()
    return {"identity_error": float(error), "gradient_cosine": float(cosine)}
