"""The Jacobian of outputs with respect to inputs."""

from __future__ import annotations

from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.jacobian import centroid_alignment, input_jacobian
from regrun.measures.looking import measuring
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe, gigabytes, need_real_inputs, try_out


class InputJacobian(SampleProbe):
    """``jacobian_norm`` and ``centroid_alignment``, means over samples.

    The first is the Frobenius norm of the Jacobian ``J`` of the logits, the second the cosine between ``J^T
    1``, the centroid of the sample's linear region, and the sample (Walker et al., arXiv 2506.12284). Costs a
    gradient for each sample and output.

    Args:
        samples: number of samples.
        every: evaluations from one measurement to the next.
        split: split of the samples.
        memory_gb: the most that the Jacobians may take.
    """

    metrics = ("jacobian_norm", "centroid_alignment")

    def __init__(
        self, samples: int = 500, every: int = 1, split: str = "test", memory_gb: float = 2.0
    ) -> None:
        super().__init__(samples, every, split)
        if not memory_gb > 0:
            raise ValueError(f"memory_gb must be above 0, got {memory_gb}")
        self.memory_gb = memory_gb

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_real_inputs(task)
        batch, _ = self.batch(task, most=2)
        size = self.samples * trial.output.logits[0].numel() * batch.x[0].numel()
        if size * 4 > self.memory_gb * 1e9:
            raise ProbeError(
                f"the Jacobians of {self.samples} samples take {gigabytes(size)}, more than "
                f"memory_gb={self.memory_gb:g}; take fewer samples"
            )
        with measuring(task.model):
            try_out("the Jacobian of single samples", lambda: input_jacobian(task.model, batch.x))

    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        with measuring(task.model):
            jacobian = input_jacobian(task.model, batch.x)
        return {
            "jacobian_norm": jacobian.flatten(1).norm(dim=1).mean(),
            "centroid_alignment": centroid_alignment(jacobian, batch.x).mean(),
        }
