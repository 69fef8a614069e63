"""*Neural networks behave as hash encoders*: the information in samples' activation codes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Samples, Splits
from regrun.data.generators import seed_generators
from regrun.data.stream import BatchList
from regrun.measures.codes import codes_of, hamming_neighbours, redundancy_ratio, vote
from regrun.measures.looking import activations
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised


class HashCodes(AfterTraining):
    """Trains a ReLU network; then classifies test samples by the patterns of active units, the codes.

    ``redundancy``, of the train samples, and the accuracies of three classifiers that see codes and true
    labels of the train samples: ``knn_accuracy`` by the ``neighbours`` nearest in Hamming distance,
    ``kmeans_accuracy`` by the majority in each of as many clusters as there are classes times ``clusters``,
    ``logistic_accuracy``. ``untrained_redundancy`` and ``untrained_knn_accuracy`` are those of the network
    before training. He et al., arXiv 2101.06490.

    Args:
        training: training procedure.
        neighbours: number of voting neighbours.
        clusters: K-Means clusters per class.
    """

    own = (
        "redundancy",
        "knn_accuracy",
        "kmeans_accuracy",
        "logistic_accuracy",
        "untrained_redundancy",
        "untrained_knn_accuracy",
    )

    def __init__(self, training: SupervisedTraining, neighbours: int = 5, clusters: int = 2) -> None:
        super().__init__(training)
        if min(neighbours, clusters) < 1:
            raise ValueError(f"neighbours and clusters must be at least 1, got {neighbours} and {clusters}")
        self.neighbours = neighbours
        self.clusters = clusters

    @torch.no_grad()
    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        seed_generators(context.seed)  # as training was: the same initial weights
        fresh = self.training.build(splits, context.seed, lambda step, metrics: None)
        train, test = (split_codes(task, split) for split in (splits.train, splits.test))
        row = {
            "redundancy": redundancy_ratio(train),
            "knn_accuracy": self.knn(train, test, splits, task.classes),
        }
        before, before_test = (split_codes(fresh, split) for split in (splits.train, splits.test))
        row["untrained_redundancy"] = redundancy_ratio(before)
        row["untrained_knn_accuracy"] = self.knn(before, before_test, splits, task.classes)
        context.stop.check()
        return row | self.classical(train, test, splits, context.seed)

    def knn(self, train: Tensor, test: Tensor, splits: Splits, classes: int) -> float:
        """The accuracy of the nearest codes' vote."""
        found = [
            vote(splits.train.clean[hamming_neighbours(train, part, self.neighbours)], classes)
            for part in test.split(1000)
        ]
        return share(torch.cat(found), splits.test.y)

    def classical(self, train: Tensor, test: Tensor, splits: Splits, seed: int) -> dict[str, float]:
        """The accuracies of scikit-learn's K-Means and logistic regression."""
        from sklearn.cluster import KMeans  # takes a second
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        x, x_test, y = train.float().numpy(), test.float().numpy(), splits.train.clean
        classes = int(y.max()) + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # codes may be fewer than clusters
            clusters = KMeans(self.clusters * classes, n_init=4, random_state=seed).fit(x)
            logistic = LogisticRegression(max_iter=200).fit(x, y.numpy())
        where = torch.from_numpy(clusters.labels_).long()
        counts = torch.zeros(self.clusters * classes, classes).index_put_(
            (where, y), torch.ones(len(y)), accumulate=True
        )
        label = counts.argmax(1)[torch.from_numpy(clusters.predict(x_test)).long()]
        return {
            "kmeans_accuracy": share(label, splits.test.y),
            "logistic_accuracy": float(logistic.score(x_test, splits.test.y.numpy())),
        }


def split_codes(task: Supervised, samples: Samples) -> Tensor:
    """The codes of every sample, bool ``(n, units)``."""
    return torch.cat(
        [
            codes_of(activations(task.model, task.inputs.prepare(batch.x)))
            for batch in BatchList(samples, task.evaluation_batch)
        ]
    )


def share(predicted: Tensor, y: Tensor) -> float:
    """The share of correct predictions."""
    return float((predicted == y).double().mean())
