"""The empirical neural tangent kernel: its drift and its alignment."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.kernel import empirical_ntk, kernel_cosine, target_alignment
from regrun.measures.looking import measuring
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe, gigabytes, try_out


class TangentKernel(SampleProbe):
    """Metrics of the empirical neural tangent kernel on some samples, averaged over outputs.

    ``ntk_drift`` is one less its cosine with the kernel at the first measurement: near 0 training is lazy.
    ``ntk_alignment`` is its cosine with the targets' kernel ``Y Y^T``, both centred. ``ntk_trace`` is the
    mean of its diagonal, ``ntk_eigenvalue/rank=k`` the three largest of its eigenvalues over ``samples``.
    ``nan`` if an entry is. Costs a gradient for each sample and output. Those of one output are held in
    memory at a time; where they are too large, ``sketch`` adds them up in so many buckets, which keeps the
    kernel's mean.

    Args:
        samples: number of samples.
        sketch: buckets of the parameters, ``None`` for the exact kernel.
        memory_gb: the most that the gradients of one output may take.
        every: evaluations from one measurement to the next.
    """

    metrics = ("ntk_drift", "ntk_alignment", "ntk_trace", "ntk_eigenvalue")
    first: Tensor

    def __init__(
        self, samples: int = 128, sketch: int | None = None, memory_gb: float = 2.0, every: int = 5
    ) -> None:
        super().__init__(samples, every)
        if (sketch is not None and sketch < 1) or not memory_gb > 0:
            raise ValueError(f"sketch must be at least 1 and memory_gb above 0, got {sketch} and {memory_gb}")
        self.sketch = sketch
        self.memory_gb = memory_gb

    def attach(self, task: Task, trial: Trial) -> None:
        n = min(self.samples, task.train_samples)
        size = sum(p.numel() for p in task.model.parameters() if p.requires_grad)
        held = n * (self.sketch or size)
        if held * 4 > self.memory_gb * 1e9:
            raise ProbeError(
                f"the kernel of {n} samples and {size:,} parameters takes {gigabytes(held)}, "
                f"more than memory_gb={self.memory_gb:g}; take fewer samples, or sketch=4096"
            )
        with measuring(task.model):
            x = self.batch(task, most=2)[0].x
            try_out("the gradient of single outputs", lambda: empirical_ntk(task.model, x))
        self.register_buffer("first", torch.zeros(n, n, dtype=torch.float64))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        with measuring(task.model):
            kernel = empirical_ntk(task.model, batch.x, self.sketch)
        if not self.first.any():
            self.first.copy_(kernel)
        targets = batch.y if batch.y.is_floating_point() else F.one_hot(batch.y, task.classes)
        row: dict[str, float | Tensor] = {
            "ntk_drift": 1 - kernel_cosine(kernel, self.first),
            "ntk_alignment": target_alignment(kernel, targets.flatten(1)),
            "ntk_trace": kernel.diagonal().mean(),
        }
        values = torch.full_like(kernel[0], torch.nan)
        if bool(kernel.isfinite().all()):
            values = torch.linalg.eigvalsh(kernel).flip(0) / len(kernel)
        return row | {f"ntk_eigenvalue/rank={k}": value for k, value in enumerate(values[:3], 1)}
