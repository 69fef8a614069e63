"""Neural collapse of the penultimate features."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.task import Task
from regrun.measures.collapse import (
    cosines,
    equal_angles,
    equal_norms,
    nearest_mean_disagreement,
    scatter,
    self_duality,
    simplex_distance,
)
from regrun.measures.looking import activation_layers, overheard
from regrun.models.head import linear_head
from regrun.probes.base import ProbeError, Trial
from regrun.probes.samples import SampleProbe, need_classes, need_features


class NeuralCollapse(SampleProbe):
    """How far features and head are from the simplex that training ends in, by true classes.

    ``nc1`` is the variance within classes over that between (a ratio of traces), ``nc1_pinv`` the form with
    the pseudo-inverse. ``nc2_norms`` and ``nc2_angles`` tell how unequal the class means' norms and angles
    are, ``nc2`` both in one; ``nc3`` how far the head's rows are from the class means; ``nc4`` how often the
    nearest class mean is another class than the predicted. All are 0 at collapse; ``nan``, or ``nc1``
    infinite, where all class means are one point. ``class_cosine`` is the
    largest cosine between two class means, ``class_cosine_spread`` the deviation over all pairs.
    ``nc1_layer/layer=k`` is ``nc1`` of every activation function. Costs a pass without gradients over
    ``samples`` samples. Papyan et al., arXiv 2008.08186.

    Args:
        samples: number of samples.
        every: evaluations from one measurement to the next.
        split: split of the samples.
    """

    metrics = (
        "nc1",
        "nc1_pinv",
        "nc1_layer",
        "nc2",
        "nc2_norms",
        "nc2_angles",
        "nc3",
        "nc4",
        "class_cosine",
        "class_cosine_spread",
    )

    def __init__(self, samples: int = 2000, every: int = 1, split: str = "train") -> None:
        super().__init__(samples, every, split)

    def attach(self, task: Task, trial: Trial) -> None:
        self.check_split(task)
        need_classes(task)
        need_features(trial)
        if len(self.batch(task)[1].unique()) < 2:
            raise ProbeError("the samples are of one class, and collapse is about how several lie")
        try:
            linear_head(task.model)
        except ValueError as error:
            raise ProbeError(str(error)) from error

    @torch.no_grad()
    def compute(self, task: Task) -> dict[str, float | Tensor]:
        with overheard(activation_layers(task.model)) as layers:
            seen = self.look(task)
        features = seen.output.features
        assert features is not None
        found = scatter(features, seen.clean, task.classes)
        # Only classes that occur.
        present = seen.clean.unique()
        angles = cosines(found.means)
        row: dict[str, float | Tensor] = {
            "nc1": found.trace_ratio,
            "nc1_pinv": found.pseudo_inverse_ratio,
            "nc2": simplex_distance(found.means),
            "nc2_norms": equal_norms(found.means),
            "nc2_angles": equal_angles(found.means),
            "nc3": self_duality(found.means, linear_head(task.model).weight.detach()[present]),
            "nc4": nearest_mean_disagreement(features, seen.output.logits[:, present], found),
            "class_cosine": angles.amax(),
            "class_cosine_spread": angles.std(correction=0),
        }
        for k, t in enumerate(layers.values(), 1):
            row[f"nc1_layer/layer={k}"] = scatter(t.flatten(1), seen.clean, task.classes).trace_ratio
        return row
