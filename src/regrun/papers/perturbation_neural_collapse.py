"""*Perturbation Analysis of Neural Collapse*: features that stay near given ones."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.measures.collapse import scatter
from regrun.measures.slope import log_slope


class UnconstrainedFeatures:
    """Minimizes over features and head, the features being held near given ones.

    ``1/2Kn |W H - Y|^2 + lW/2K |W|^2 + lH/2Kn |H - H0|^2`` for one-hot ``Y``, ``K`` classes of ``n`` samples,
    by alternating exact minimization. ``H0`` has Gaussian class means and noise of deviation ``noise`` within
    classes, normalized to ``|H0|^2 = Kn``. Reports NC1 (``tr S_W / tr S_B``) of ``H0`` and of the minimizers,
    one for each ``lH``; the central path, the gradient flow in ``H`` with the head optimal at all times and
    without ``lH``; and the slope, on logarithmic axes, of the minimizer's distance from the one for collapsed
    ``H0`` against the noise, which theory says is 1 near collapse. In float64. Tirer et al., arXiv
    2210.16658, whose normalizing constants are remembered, not looked up.

    Args:
        noise: standard deviation within classes; the class means' is 1.
        classes: ``K``.
        samples: samples per class, ``n``.
        width: width of the features.
        head_decay: ``lW``.
        alternations: alternating minimizations over head and features.
        path_steps: gradient descent steps along the central path, of length 0.2.
    """

    STIFFNESS = (10.0, 1.0, 0.1, 0.01)
    SLOPE_NOISE = (1e-3, 1e-2, 1e-1)

    metrics = (
        "nc1_start",
        "nc1_minimizer",
        "nc1_path",
        "path_end",
        "path_rise",
        "deviation_slope",
    )

    def __init__(
        self,
        noise: float = 0.3,
        classes: int = 4,
        samples: int = 50,
        width: int = 20,
        head_decay: float = 0.02,
        alternations: int = 3000,
        path_steps: int = 2000,
    ) -> None:
        if noise <= 0 or head_decay <= 0 or min(classes, samples) < 2 or width < classes:
            raise ValueError(
                "noise and head_decay must be above 0, classes and samples at least 2 and width at least "
                f"classes, got {noise}, {head_decay}, {classes}, {samples} and {width}"
            )
        self.noise = noise
        self.classes = classes
        self.samples = samples
        self.width = width
        self.head_decay = head_decay
        self.alternations = alternations
        self.path_steps = path_steps
        self.labels = torch.arange(classes).repeat_interleave(samples)
        self.y = torch.nn.functional.one_hot(self.labels).double().T

    def __call__(self, context: Context) -> dict[str, float]:
        """Minimize, and follow the path."""
        generator = torch.Generator().manual_seed(context.seed)
        means = torch.randn(self.width, self.classes, generator=generator, dtype=torch.float64)
        spread = torch.randn(self.width, len(self.labels), generator=generator, dtype=torch.float64)
        context.begin(
            Description(steps=self.path_steps, precision="64-true", sizes={"samples": len(self.labels)})
        )

        def start(noise: float) -> Tensor:
            h = means[:, self.labels] + noise * spread
            return h * (len(self.labels) ** 0.5 / h.norm())

        first = start(self.noise)
        row = {"nc1_start": self.nc1(first)}
        for stiffness in self.STIFFNESS:
            context.stop.check()
            row[f"nc1_minimizer/stiffness={stiffness:g}"] = self.nc1(self.minimizer(first, stiffness))

        h, before, rise = first, row["nc1_start"], 0.0
        for step in range(self.path_steps + 1):
            now = self.nc1(h)
            rise, before = max(rise, now - before), now
            if step % max(1, self.path_steps // 50) == 0:
                context.log(step, {"nc1_path": now})
            w = self.head(h)
            h = h - 0.2 * w.T @ (w @ h - self.y)
        row |= {"path_end": before, "path_rise": rise}

        # The means alone, at each noise's own scale, so that only what is within classes is a perturbation.
        distances = []
        for noise in self.SLOPE_NOISE:
            away = start(noise)
            collapsed = self.class_means(away)[:, self.labels]
            distances.append(float((self.minimizer(away, 1.0) - self.minimizer(collapsed, 1.0)).norm()))
        row["deviation_slope"] = log_slope(self.SLOPE_NOISE, distances)
        context.log(self.path_steps, row)
        return row

    def head(self, h: Tensor) -> Tensor:
        """The optimal head for features: ``W = Y H^T (H H^T + n lW I)^-1``."""
        gram = h @ h.T + self.samples * self.head_decay * torch.eye(self.width, dtype=h.dtype)
        return torch.linalg.solve(gram, h @ self.y.T).T

    def minimizer(self, h0: Tensor, stiffness: float) -> Tensor:
        """The optimal features, held near ``h0`` with strength ``lH``."""
        h = h0
        identity = torch.eye(self.width, dtype=h0.dtype)
        for _ in range(self.alternations):
            w = self.head(h)
            h = torch.linalg.solve(w.T @ w + stiffness * identity, w.T @ self.y + stiffness * h0)
        return h

    def class_means(self, h: Tensor) -> Tensor:
        """``(width, classes)``."""
        return h.view(self.width, self.classes, self.samples).mean(2)

    def nc1(self, h: Tensor) -> float:
        """The trace ratio."""
        return float(scatter(h.T, self.labels, self.classes).trace_ratio)
