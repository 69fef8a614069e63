"""*On discretisation drift*: gradient descent against the flows that it follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Description
from regrun.measures.slope import log_slope


@dataclass(frozen=True, eq=False)
class QuadraticFlows:
    """Gradient descent with step 1 on a quadratic, against three flows, in closed form.

    For each eigenvalue ``h`` of the quadratic, ``principal_error/curvature=h`` is the largest distance over
    ``steps`` of the iterates from the principal flow ``theta' = log(1 - h) theta`` (complex where ``h > 1``),
    ``igr_error`` that from the flow of the implicitly regularized loss, ``theta' = -(h + h^2 / 2) theta``,
    and ``ngf_error`` from the gradient flow, all from ``theta = 1``. ``worst_principal_error`` is the
    largest. Rosca, arXiv 2310.14036.

    Args:
        steps: number of gradient descent steps.
    """

    CURVATURES = (0.1, 0.5, 0.9, 1.5, 1.9, 2.1)
    metrics = ("principal_error", "igr_error", "ngf_error", "worst_principal_error")

    steps: int = 10

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, context: Context) -> dict[str, float]:
        """Compare; nothing is random."""
        context.begin(Description(steps=self.steps, precision="64-true"))
        t = torch.arange(self.steps + 1, dtype=torch.float64)
        row: dict[str, float] = {}
        for h in self.CURVATURES:
            iterates = torch.cumprod(torch.tensor([1.0] + [1 - h] * self.steps, dtype=torch.float64), 0)
            principal = torch.exp(t * torch.log(torch.tensor(1 - h + 0j, dtype=torch.complex128)))
            flows = {
                "principal_error": principal,
                "igr_error": torch.exp(-t * (h + h**2 / 2)),
                "ngf_error": torch.exp(-t * h),
            }
            row |= {
                f"{name}/curvature={h:g}": float((flow - iterates).abs().amax())
                for name, flow in flows.items()
            }
        row["worst_principal_error"] = max(v for k, v in row.items() if k.startswith("principal"))
        context.log(self.steps, row)
        return row


@dataclass(frozen=True, eq=False)
class DriftOrder:
    """Gradient descent for a fixed time on a smooth network, against two flows, in float64.

    The distance, at ``time``, of the weights from the gradient flow, ``ngf_error/step=h``, and from the flow
    of ``E + h/4 |grad E|^2``, ``igr_error/step=h``, both solved by RK4 with steps of ``time / flow_steps``;
    ``ngf_order`` and ``igr_order`` are the slopes on logarithmic axes, 1 and 2 in theory. A network with tanh
    on a random regression. Barrett & Dherin, arXiv 2009.11162; Rosca, arXiv 2310.14036.

    Args:
        time: length of the flow.
        flow_steps: number of RK4 steps.
        hidden: units.
        samples: standard normal inputs of 5 entries, standard normal targets.
    """

    STEPS = (0.01, 0.02, 0.05, 0.1)
    metrics = ("ngf_error", "igr_error", "ngf_order", "igr_order")

    time: float = 1.0
    flow_steps: int = 200
    hidden: int = 10
    samples: int = 30

    def __post_init__(self) -> None:
        if self.time < 0.1 or min(self.flow_steps, self.hidden, self.samples) < 1:
            raise ValueError("time must be at least 0.1, flow_steps, hidden and samples at least 1")

    def __call__(self, context: Context) -> dict[str, float]:
        """Descend and flow from the same weights."""
        generator = torch.Generator().manual_seed(context.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        x, y = normal(self.samples, 5), normal(self.samples)
        start = torch.cat([normal(self.hidden * 5) / 5**0.5, normal(self.hidden) / self.hidden**0.5])
        context.begin(Description(steps=self.flow_steps, precision="64-true"))

        def loss(w: Tensor) -> Tensor:
            inner = torch.tanh(x @ w[: self.hidden * 5].view(self.hidden, 5).T)
            return (inner @ w[self.hidden * 5 :] - y).square().mean() / 2

        slope = torch.func.grad(loss)

        def modified(w: Tensor, h: float) -> Tensor:
            return loss(w) + h / 4 * slope(w).square().sum()

        errors: dict[str, list[float]] = {"ngf": [], "igr": []}
        plain = flow(slope, start, self.time, self.flow_steps)
        for h in self.STEPS:
            context.stop.check()
            w = start
            for _ in range(round(self.time / h)):
                w = w - h * slope(w)
            bent = torch.func.grad(lambda v, h=h: modified(v, h))
            errors["ngf"].append(float((w - plain).norm()))
            errors["igr"].append(float((w - flow(bent, start, self.time, self.flow_steps)).norm()))
        row = {
            f"{name}_error/step={h:g}": e
            for name, found in errors.items()
            for h, e in zip(self.STEPS, found, strict=True)
        }
        row |= {f"{name}_order": log_slope(self.STEPS, found) for name, found in errors.items()}
        context.log(self.flow_steps, row)
        return row


def flow(slope: object, start: Tensor, time: float, steps: int) -> Tensor:
    """The solution of ``w' = -slope(w)`` at ``time``, by RK4."""
    h, w = time / steps, start

    def field(v: Tensor) -> Tensor:
        return -slope(v)  # type: ignore[operator]

    for _ in range(steps):
        a = field(w)
        b = field(w + h / 2 * a)
        c = field(w + h / 2 * b)
        d = field(w + h * c)
        w = w + h / 6 * (a + 2 * b + 2 * c + d)
    return w
