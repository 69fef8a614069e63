"""*From Softmax to Sparsemax*: label proportions, and attention to one token of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regrun.contracts.probability_map import ProbabilityMap
from regrun.contracts.procedure import Context, Description
from regrun.losses.base import ClassificationLoss

LABELS, WORDS = 10, 500


@dataclass(frozen=True)
class Documents:
    """Frequencies of words, ``(n, words)``, and true proportions of labels, ``(n, labels)``."""

    x: Tensor
    q: Tensor


def documents(n: int, length: int, uniform: bool, words: Tensor, generator: torch.Generator) -> Documents:
    """Documents about one to four labels, whose words are drawn from the mixture of the labels' words.

    Args:
        n: number of documents.
        length: words of each.
        uniform: whether a document's labels have equal proportions, or random ones (uniform Dirichlet).
        words: each label's distribution of words, ``(labels, words)``.
        generator: draws.
    """
    count = torch.randint(1, 5, (n, 1), generator=generator)
    rank = torch.rand(n, LABELS, generator=generator).argsort(1).argsort(1)
    weight = torch.ones(n, LABELS) if uniform else torch.rand(n, LABELS, generator=generator).log().neg()
    q = weight * (rank < count)
    q = q / q.sum(1, keepdim=True)
    drawn = torch.multinomial(q @ words, length, replacement=True, generator=generator)
    x = torch.zeros(n, WORDS).scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float32))
    return Documents(x / length, q)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The divergence of rows of probabilities, in nats, ``(n,)``; what both give nothing adds nothing."""
    middle = (p + q) / 2
    logs = middle.masked_fill(middle == 0, 1).log()
    apart = F.kl_div(logs, p, reduction="none") + F.kl_div(logs, q, reduction="none")
    return apart.sum(1) / 2


class LabelProportions:
    """Learns the proportions of a document's labels from its words, by a linear map and a loss.

    The paper's simulation: 10 labels of which a document has one to four, 500 words. L-BFGS with an L2
    penalty, the one of ``decays`` with the smallest squared error on a held-out split. ``mse`` and
    ``divergence`` (Jensen-Shannon, in nats) are means over test documents, ``support`` that of the labels
    with a proportion above 0. Martins & Astudillo, arXiv 1602.02068.

    Args:
        loss: loss, with its probability map.
        uniform: whether a document's labels have equal proportions.
        length: words of a document.
        decays: L2 coefficients.
        samples: train documents, of which 200 are held out; the test has 1000.
        steps: maximum number of L-BFGS steps.
    """

    metrics = ("mse", "divergence", "support", "decay")

    def __init__(
        self,
        loss: ClassificationLoss,
        uniform: bool = True,
        length: int = 2000,
        decays: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        samples: int = 1200,
        steps: int = 300,
    ) -> None:
        if loss.probability_map is None or not loss.takes_probabilities:
            raise ValueError("the loss must take probabilities as targets, and give them")
        if not decays or min(decays) < 0 or samples <= 200 or min(length, steps) < 1:
            raise ValueError("decays must be at least 0, samples above 200, length and steps at least 1")
        self.loss = loss
        self.map = loss.probability_map
        self.uniform = uniform
        self.length = length
        self.decays = decays
        self.samples = samples
        self.steps = steps

    def __call__(self, context: Context) -> dict[str, float]:
        """Choose the decay, and test."""
        generator = torch.Generator().manual_seed(context.seed)
        torch.manual_seed(context.seed)
        words = torch.distributions.Dirichlet(torch.full((WORDS,), 0.1)).sample((LABELS,))
        train = documents(self.samples, self.length, self.uniform, words, generator)
        test = documents(1000, self.length, self.uniform, words, generator)
        context.begin(Description(steps=self.steps, sizes={"train": self.samples, "test": 1000}))
        fit, held = (Documents(train.x[part], train.q[part]) for part in (slice(200, None), slice(200)))
        errors = {}
        for decay in self.decays:
            context.stop.check()
            errors[decay] = float(self.error(self.train(fit, decay), held))
        decay = min(errors, key=lambda d: errors[d])
        weights = self.train(train, decay)
        p = self.map(test.x * WORDS @ weights)
        row = {
            "mse": float(self.error(weights, test)),
            "divergence": float(jensen_shannon(p, test.q).mean()),
            "support": float((p > 0).sum(1).double().mean()),
            "decay": decay,
        }
        context.log(self.steps, row)
        return row

    def train(self, data: Documents, decay: float) -> Tensor:
        """The weights, ``(words, labels)``."""
        weights = torch.zeros(WORDS, LABELS, requires_grad=True)
        method = torch.optim.LBFGS([weights], max_iter=self.steps, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            method.zero_grad()
            loss = self.loss(data.x * WORDS @ weights, data.q).mean() + decay / 2 * weights.square().sum()
            loss.backward()
            return loss

        method.step(closure)
        return weights.detach()

    def error(self, weights: Tensor, data: Documents) -> Tensor:
        """The mean squared error of the proportions."""
        return (self.map(data.x * WORDS @ weights) - data.q).square().mean()


class MarkedToken:
    """Attention that must find the one marked token of a sequence, and say which it is.

    Tokens are embedded, one of them is marked by an embedding added; keys are linear, the query is learnt,
    and a linear map of what is attended to names the token. ``accuracy`` on fresh sequences; ``attended`` is
    the mean number of tokens with a weight above 0.

    Args:
        probability_map: map of the scores to weights.
        length: length of a sequence.
        tokens: vocabulary size.
        steps: number of Adam steps, with 64 fresh sequences each.
        lr: learning rate.
    """

    metrics = ("accuracy", "attended")

    def __init__(
        self,
        probability_map: ProbabilityMap,
        length: int = 20,
        tokens: int = 10,
        steps: int = 600,
        lr: float = 0.01,
    ) -> None:
        if min(length, tokens, steps) < 1 or lr <= 0:
            raise ValueError("length, tokens and steps must be at least 1 and lr above 0")
        self.map = probability_map
        self.length = length
        self.tokens = tokens
        self.steps = steps
        self.lr = lr

    def __call__(self, context: Context) -> dict[str, float]:
        """Train, and test."""
        torch.manual_seed(context.seed)
        context.begin(Description(steps=self.steps))
        embed, mark = nn.Embedding(self.tokens, 32), nn.Parameter(torch.randn(32) / 4)
        key, query, out = nn.Linear(32, 32), nn.Parameter(torch.randn(32)), nn.Linear(32, self.tokens)
        weights = [*embed.parameters(), mark, *key.parameters(), query, *out.parameters()]
        optimizer = torch.optim.Adam(weights, self.lr, fused=True)

        def attend(n: int) -> tuple[Tensor, Tensor, Tensor]:
            sequence = torch.randint(self.tokens, (n, self.length))
            place = torch.randint(self.length, (n,))
            states = embed(sequence) + F.one_hot(place, self.length)[..., None] * mark
            shares: Tensor = self.map(key(states) @ query / 32**0.5)
            logits: Tensor = out((shares[..., None] * states).sum(1))
            return logits, sequence.gather(1, place[:, None]).squeeze(1), shares

        for step in range(self.steps):
            context.stop.check()
            logits, y, _ = attend(64)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                context.show(step, float(loss.detach()))
        with torch.no_grad():
            logits, y, shares = attend(5000)
        row = {
            "accuracy": float((logits.argmax(1) == y).double().mean()),
            "attended": float((shares > 0).sum(1).double().mean()),
        }
        context.log(self.steps, row)
        return row
