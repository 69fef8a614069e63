"""*To grok or not to grok*: neurons pruned by how periodic they are."""

from __future__ import annotations

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Splits
from regrun.measures.fourier import inverse_participation_ratio
from regrun.models.head import linear_head
from regrun.models.residues import residue_functions
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.evaluation import Features, accuracy, features_of
from regrun.tasks.supervised import Supervised

SHARES = tuple(k / 10 for k in range(10))


class NeuronPruning(AfterTraining):
    """Trains a two-layer network on residues; then takes its neurons away in the order of their IPR.

    The inverse participation ratio of a neuron is the mean over its weights to each operand and to the
    output. With the share ``s`` of the neurons taken away, lowest first, ``lowest_first_<what>/pruned=s``,
    and highest first ``highest_first_<what>/pruned=s``: ``train`` and ``test`` accuracy, the share of wrongly
    labelled train samples that are predicted as labelled, ``memorized``, and as they should be,
    ``corrected``. ``ipr_gain_correlation`` is the correlation of the ratios with the sizes of a batch
    normalization's gains, ``nan`` without one. Doshi et al., arXiv 2310.13061.

    Args:
        training: training procedure; the model reads tokens through one hidden layer.
    """

    own = (
        *(f"{order}_first_{what}" for order in ("lowest", "highest") for what in ("train", "test")),
        *(f"{order}_first_{what}" for order in ("lowest", "highest") for what in ("memorized", "corrected")),
        "ipr_gain_correlation",
    )

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        train, test = features_of(task, splits.train), features_of(task, splits.test)
        head = linear_head(task.model).weight.double()
        functions = residue_functions(task.model)
        if not functions or functions[0].shape[0] != head.shape[1]:
            raise ValueError("pruning by periodicity needs one hidden layer on symbols; model=quadratic")
        ratios = torch.stack([inverse_participation_ratio(rows) for rows in functions]).mean(0)
        row: dict[str, float] = {"ipr_gain_correlation": float("nan")}
        gain = getattr(getattr(task.model, "norm", None), "weight", None)
        if isinstance(gain, Tensor):
            pair = torch.stack([ratios, gain.double().abs()])
            row["ipr_gain_correlation"] = float(torch.corrcoef(pair)[0, 1])
        for order, ranking in (("lowest", ratios.argsort()), ("highest", ratios.argsort(descending=True))):
            for share in SHARES:
                context.stop.check()
                kept = torch.ones(len(ratios), dtype=torch.bool)
                kept[ranking[: round(share * len(ratios))]] = False
                found = scores(train, test, head, kept)
                row |= {f"{order}_first_{what}/pruned={share:g}": v for what, v in found.items()}
        return row


def scores(train: Features, test: Features, head: Tensor, kept: Tensor) -> dict[str, float]:
    """The network's output on the samples with only some of its neurons."""
    z, z_test = (features.z[:, kept] @ head[:, kept].T for features in (train, test))
    wrong = train.wrong
    return {
        "train": accuracy(z, train.y),
        "test": accuracy(z_test, test.y),
        "memorized": accuracy(z[wrong], train.y[wrong]),
        "corrected": accuracy(z[wrong], train.clean[wrong]),
    }
