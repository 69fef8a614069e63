"""*Inverse distance weighting attention*: keys that are prototypes, and cases put right by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.models.attention import InverseDistanceAttention
from regrun.models.prototype_attention import PrototypeAttention
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class PrototypeChecks(AfterTraining):
    """Trains attention to prototypes; then looks whether its keys are prototypes, and adds some by hand.

    ``key_distance`` is the median distance of a key from the nearest train image, over that of an image from
    the nearest other one; ``agreement`` the share of keys whose largest value is the class of most of their
    five nearest train images. ``fixed`` is the share of ``edits`` misclassified test images that are right
    after each was added as a key, with the mean magnitude of values on its class, and ``changed`` the share
    of the other test predictions that this changes. arXiv 2310.18805.

    Args:
        training: training of a ``PrototypeAttention``.
        edits: number of added images.
    """

    own = ("key_distance", "agreement", "fixed", "changed")

    def __init__(self, training: SupervisedTraining, edits: int = 10) -> None:
        super().__init__(training)
        if edits < 1:
            raise ValueError(f"edits must be at least 1, got {edits}")
        self.edits = edits

    def check(self, task: Supervised, splits: Splits) -> None:
        """Raise ``ValueError`` if the model has no prototypes."""
        if not isinstance(task.model, PrototypeAttention):
            raise ValueError("there are no keys to look at; choose model=prototype_attention")

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        model = task.model.eval()
        assert isinstance(model, PrototypeAttention)
        x, x_test = (task.inputs.prepare(part.x).flatten(1) for part in (splits.train, splits.test))
        apart, near = torch.cdist(model.keys, x).topk(5, 1, largest=False)
        some = x[:2000]
        among = torch.cdist(some, x).topk(2, 1, largest=False).values[:, 1]
        votes = F.one_hot(splits.train.y[near], task.classes).sum(1)
        row = {
            "key_distance": float(apart[:, 0].median() / among.median()),
            "agreement": float((votes.argmax(1) == model.values.argmax(1)).double().mean()),
        }
        return row | self.edited(model, x_test, splits.test.y)

    def edited(self, model: PrototypeAttention, x: Tensor, y: Tensor) -> dict[str, float]:
        """Measure the effect of adding misclassified images as keys."""
        before = model(x).logits.argmax(1)
        chosen = (before != y).nonzero().squeeze(1)[: self.edits]
        size = model.values.abs().mean()
        model.keys.data = torch.cat([model.keys, x[chosen]])
        model.values.data = torch.cat([model.values, size * F.one_hot(y[chosen], model.values.shape[1])])
        after = model(x).logits.argmax(1)
        # Of the images themselves by differences of entries: products of squares never reach distance 0.
        exact = torch.stack([logits_at(model, x[place]) for place in chosen])
        others = torch.ones(len(y), dtype=torch.bool).index_fill_(0, chosen, False)
        return {
            "fixed": float((exact.argmax(1) == y[chosen]).double().mean()),
            "changed": float((after != before)[others].double().mean()),
        }


def logits_at(model: PrototypeAttention, x: Tensor) -> Tensor:
    """The logits of one input ``(d,)``, computed so that distances may be 0."""
    attention = model.attention
    if not isinstance(attention, InverseDistanceAttention):
        found: Tensor = model(x[None]).logits[0]
        return found
    squares = (x - model.keys).double().square().sum(1) + attention.eps
    return (-attention.power / 2 * squares.log()).softmax(0) @ model.values.double()
