"""*PSL: Rethinking and Improving Softmax Loss from Pairwise Perspective for Recommendation*."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.procedure import Context, Description
from regrun.data.feedback import Feedback, FeedbackData
from regrun.errors import TrainingDivergedError

TOP = 20


@dataclass(frozen=True, eq=False)
class MatrixFactorization:
    """Users and items as vectors whose cosine ranks, trained on liked items against sampled ones.

    ``ndcg`` and ``recall`` are of the first 20 items that a user did not like in training, on the test part,
    at the epoch with the best ``validation_ndcg``; curves are over epochs. A share ``noise`` of the sampled
    items are liked ones of the user: false negatives. Yang et al., arXiv 2411.00163.

    Args:
        data: who liked what.
        loss: loss of the scores of a liked item and of sampled ones.
        noise: in ``[0, 1)``.
        width: dimension of the vectors.
        negatives: sampled for each liked item.
        epochs: number of training epochs.
        batch: liked items of a step.
        lr: Adam's learning rate.
        weight_decay: Adam's coupled weight decay.
    """

    metrics = ("ndcg", "recall", "validation_ndcg", "best_epoch")

    data: FeedbackData
    loss: Callable[[Tensor, Tensor], Tensor]
    noise: float = 0.0
    width: int = 64
    negatives: int = 100
    epochs: int = 30
    batch: int = 2048
    lr: float = 0.02
    weight_decay: float = 1e-6

    def __post_init__(self) -> None:
        if (
            not 0 <= self.noise < 1
            or min(self.width, self.negatives, self.epochs, self.batch) < 1
            or self.lr <= 0
            or (self.weight_decay < 0)
        ):
            raise ValueError(
                "noise must lie in [0, 1), width, negatives, epochs and batch be at "
                "least 1, lr above 0 and weight_decay at least 0"
            )

    def __call__(self, context: Context) -> dict[str, float]:
        """Train."""
        feedback = self.data.load(context.data_dir, context.seed)
        torch.manual_seed(context.seed)
        users, items = feedback.train.shape
        sizes = {"users": users, "items": items, "liked": int(feedback.train.sum())}
        context.begin(Description(steps=self.epochs, sizes=sizes))
        vectors = [nn.Parameter(0.1 * torch.randn(n, self.width)) for n in (users, items)]
        optimizer = torch.optim.Adam(vectors, self.lr, weight_decay=self.weight_decay, fused=True)
        pairs = feedback.train.nonzero()
        own = [row.nonzero().squeeze(1) for row in feedback.train]
        count = torch.tensor([len(mine) for mine in own])
        padded = nn.utils.rnn.pad_sequence(own, batch_first=True)
        best: dict[str, float] = {}
        for epoch in range(1, self.epochs + 1):
            for part in pairs[torch.randperm(len(pairs))].split(self.batch):
                context.stop.check()
                user, item = part.unbind(1)
                drawn = torch.randint(items, (len(part), self.negatives))
                if self.noise:
                    place = (torch.rand(len(part), self.negatives) * count[user][:, None]).long()
                    false = torch.rand(len(part), self.negatives) < self.noise
                    drawn = torch.where(false, padded[user].gather(1, place), drawn)
                scores = half_cosines(vectors[0][user], vectors[1])
                loss = self.loss(scores.gather(1, item[:, None]).squeeze(1), scores.gather(1, drawn))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if not math.isfinite(last := float(loss.detach())):
                raise TrainingDivergedError(epoch, last)
            with torch.no_grad():
                scores = half_cosines(vectors[0], vectors[1]).masked_fill(feedback.train, -torch.inf)
            row = rankings(scores, feedback)
            context.log(epoch, row)
            context.show(epoch, last)
            if row["validation_ndcg"] > best.get("validation_ndcg", -1):
                best = row | {"best_epoch": float(epoch)}
        return best


def half_cosines(users: Tensor, items: Tensor) -> Tensor:
    """Half the cosine of each user with each item, so that differences lie within 1: ``(users, items)``."""
    return F.normalize(users, dim=1) @ F.normalize(items, dim=1).T / 2


def rankings(scores: Tensor, feedback: Feedback) -> dict[str, float]:
    """Ranking metrics on the test part, and on the validation part with test items left in the list.

    ``nan`` if a score is.
    """
    test, validation = (hits_of(scores, liked) for liked in (feedback.test, feedback.validation))
    return {
        "ndcg": ndcg(test, feedback.test),
        "recall": recall(test, feedback.test),
        "validation_ndcg": ndcg(validation, feedback.validation),
    }


def hits_of(scores: Tensor, liked: Tensor) -> Tensor:
    """Whether each user's top items are liked, float32 ``(users, TOP)``.

    Items of equal score come in a random order, so that the items' order does not matter: each of their
    places holds their share of liked ones, as in scikit-learn's ``ndcg_score`` (McSherry & Najork 2008).
    ``nan`` for a user with such a score.

    Args:
        scores: ``(users, items)``.
        liked: bool, ``(users, items)``.
    """
    top = scores.topk(min(TOP + 1, scores.shape[1]), 1)
    hits = liked.gather(1, top.indices).float()
    for user in (top.values.diff(dim=1) == 0).any(1).nonzero().flatten().tolist():
        same = top.values[user][:, None] == scores[user]
        hits[user] = (same & liked[user]).sum(1) / same.sum(1)
    return hits[:, :TOP].masked_fill(scores.isnan().any(1, keepdim=True), torch.nan)


def ndcg(hits: Tensor, liked: Tensor) -> float:
    """Normalized discounted cumulative gain, the mean over users who liked anything.

    Args:
        hits: whether each top item is liked, in order, ``(users, n)``.
        liked: bool, ``(users, items)``.
    """
    discount = 1 / torch.arange(2, hits.shape[1] + 2, dtype=torch.float64).log2()
    ideal = discount.cumsum(0)[liked.sum(1).clamp(1, hits.shape[1]) - 1]
    return float(((hits * discount).sum(1) / ideal)[liked.any(1)].mean())


def recall(hits: Tensor, liked: Tensor) -> float:
    """The share of liked items that are found, the mean over users who liked anything."""
    return float((hits.sum(1) / liked.sum(1).clamp_min(1))[liked.any(1)].double().mean())
