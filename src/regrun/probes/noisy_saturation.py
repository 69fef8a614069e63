"""How many samples no longer teach, under the noise that training adds to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regrun.contracts.output import as_output
from regrun.contracts.task import Step, Task
from regrun.data.generators import untouched_generators
from regrun.measures.looking import measuring
from regrun.measures.share import share
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe
from regrun.regularizers.noisy_softmax import NoisySoftmax


class NoisySaturation(SampleProbe):
    """The share of samples whose label has nearly all of the probability, with and without noise.

    ``noisy_saturation`` is the share above ``threshold`` of the logits that the noisy softmax trains on, with
    noise drawn anew, always the same; ``clean_saturation`` that of the logits themselves.
    ``logit_gradient`` is the mean norm of the gradient with respect to the logits, ``|p - e_y|``, with the
    noise. Chen et al., arXiv 1708.03769.

    Args:
        samples: number of train samples.
        threshold: in ``(0, 1)``.
        every: evaluations from one measurement to the next.
    """

    metrics = ("noisy_saturation", "clean_saturation", "logit_gradient")

    def __init__(self, samples: int = 2000, threshold: float = 0.99, every: int = 1) -> None:
        super().__init__(samples, every)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        self.threshold = threshold

    def attach(self, task: Task, trial: Trial) -> None:
        noise_of(task)

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        batch, _ = self.batch(task)
        with measuring(task.model), torch.no_grad():
            output = as_output(task.model(batch.x))
        with untouched_generators():
            torch.manual_seed(0)
            noisy = noise_of(task).noisy(Step(batch, output, task, 0, 0), output.logits, batch.y)
        own, clean = label_probability(noisy, batch.y), label_probability(output.logits, batch.y)
        p = noisy.softmax(1)
        gradient = p.scatter_add(1, batch.y[:, None], -torch.ones_like(p[:, :1]))
        return {
            "noisy_saturation": share(own > self.threshold, own),
            "clean_saturation": share(clean > self.threshold, clean),
            "logit_gradient": gradient.norm(dim=1).mean(),
        }


def noise_of(task: Task) -> NoisySoftmax:
    """The noisy softmax among a task's regularizers.

    Raises:
        ProbeError: if there is none.
    """
    assert isinstance(task, nn.Module)
    for module in task.modules():
        if isinstance(module, NoisySoftmax):
            return module
    raise ProbeError("there is no noise to look at; add noisy_softmax to regularizer=[...]")


def label_probability(z: Tensor, y: Tensor) -> Tensor:
    """The softmax probability of the label, ``(batch,)``."""
    return z.softmax(1).gather(1, y[:, None]).squeeze(1)
