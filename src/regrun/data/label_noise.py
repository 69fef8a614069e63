"""Label noise: corruptions of the training labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regrun.ranges import check_finite


@dataclass(frozen=True)
class TrueLabels:
    """Clean labels, and the context that noise may depend on.

    Attributes:
        y: the true labels, int64 ``(n,)``.
        x: inputs as they are stored, ``(n, ...)``.
        index: each sample's position in the dataset's own train split, int64 ``(n,)``.
        total: number of samples of that split.
        names: names of the classes, in the order of the labels.
        confusable: the class each class is taken for under asymmetric noise, itself if it is not; ``None`` if
            the literature has no such pairs.
    """

    y: Tensor
    x: Tensor
    index: Tensor
    total: int
    names: Sequence[str]
    confusable: Sequence[int] | None = None


class LabelNoise(ABC):
    """Replaces some labels by others. Constructing one checks its parameters."""

    @abstractmethod
    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        """A copy of the labels in which some are others; ``generator`` has all randomness."""

    def warning(self, classes: int) -> str:
        """A remark on this noise; empty if there is nothing to say."""
        return ""


class CleanLabels(LabelNoise):
    """No noise."""

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        """The labels themselves."""
        return truth.y


class SymmetricNoise(LabelNoise):
    """``round(rate * n)`` samples, chosen at random, get a label that is uniform over the classes.

    Args:
        rate: in ``[0, 1)``.
        include_true: whether the new label may be the true one, as in the code of ELR (Liu et al., arXiv
            2007.00151), so that ``rate * (classes - 1) / classes`` of the labels are wrong; else all are.
    """

    def __init__(self, rate: float = 0.4, include_true: bool = True) -> None:
        self.rate = check_rate(rate)
        self.include_true = include_true

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        return redraw_labels(truth.y, len(truth.names), self.rate, generator, self.include_true)

    def warning(self, classes: int) -> str:
        """A remark, if the true class is rarer than each wrong one."""
        minority = not self.include_true and 1 - self.rate < self.rate / (classes - 1)
        return minority_warning("symmetric", self.rate) if minority else ""


class AsymmetricNoise(LabelNoise):
    """A share ``rate`` of each class gets the label of the class it is taken for.

    Args:
        rate: in ``[0, 1)``.
        mapping: from each class name to the class it is taken for; ``None`` for the literature's pairs for
            the dataset. Patrini et al., arXiv 1609.03683; the next class of the superclass on CIFAR-100.
    """

    def __init__(self, rate: float = 0.4, mapping: Mapping[str, str] | None = None) -> None:
        self.rate = check_rate(rate)
        self.mapping = mapping

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        """See the class.

        Raises:
            ValueError: if a class does not exist, or there are no pairs.
        """
        return flip_share(truth.y, self.rate, torch.tensor(self._targets(truth)), generator)

    def _targets(self, truth: TrueLabels) -> list[int]:
        if self.mapping is None:
            if truth.confusable is None:
                raise ValueError("this dataset has no class pairs of its own: set label_noise.mapping")
            return list(truth.confusable)
        for name in {*self.mapping, *self.mapping.values()}:
            if name not in truth.names:
                raise ValueError(
                    f"label_noise.mapping: no class {name!r} (classes: {', '.join(truth.names)})"
                )
        return [truth.names.index(self.mapping.get(name, name)) for name in truth.names]

    def warning(self, classes: int) -> str:
        """A remark, if the true class is the minority."""
        return minority_warning("asymmetric", self.rate) if self.rate > 0.5 else ""


class PairFlip(LabelNoise):
    """A share ``rate`` of each class gets the label of the next class (Han et al., arXiv 1804.06872).

    Args:
        rate: in ``[0, 1)``.
    """

    def __init__(self, rate: float = 0.45) -> None:
        self.rate = check_rate(rate)

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        return flip_share(
            truth.y, self.rate, torch.arange(1, len(truth.names) + 1) % len(truth.names), generator
        )

    def warning(self, classes: int) -> str:
        """A remark, if the true class is the minority."""
        return minority_warning("pair-flip", self.rate) if self.rate > 0.5 else ""


class InstanceDependentNoise(LabelNoise):
    """Instance-dependent noise: a flip rate and a distribution over wrong classes for each sample.

    The rate is drawn from a normal with mean ``rate`` and deviation ``spread``, cut to ``[0, 1]``; the wrong
    classes have the softmax of a random linear map of the input, one map for each true class. Xia et al.,
    *Part-dependent Label Noise*, arXiv 2006.07836, algorithm 2.

    Args:
        rate: in ``[0, 1)``.
        spread: standard deviation of the samples' rates, above 0.
    """

    def __init__(self, rate: float = 0.4, spread: float = 0.1) -> None:
        self.rate = check_rate(rate)
        check_finite(spread=spread)
        if spread <= 0:
            raise ValueError(f"spread must be above 0, got {spread}")
        self.spread = spread

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        x, y, classes = truth.x, truth.y, len(truth.names)
        low, high = (
            torch.special.ndtr(torch.tensor((end - self.rate) / self.spread, dtype=torch.float64))
            for end in (0.0, 1.0)
        )
        uniform = torch.rand(len(y), generator=generator, dtype=torch.float64)
        rates = self.rate + self.spread * torch.special.ndtri(low + uniform * (high - low))
        width = x[0].numel()
        maps = torch.randn(classes, width, classes, generator=generator)
        noisy = y.clone()
        for label in range(classes):
            mine = (y == label).nonzero().squeeze(1)
            if not len(mine):
                continue
            pixels = x[mine].reshape(len(mine), width).float()
            scores = (pixels / 255 if x.dtype == torch.uint8 else pixels) @ maps[label]
            scores[:, label] = -torch.inf
            probabilities = scores.double().softmax(1) * rates[mine, None]
            probabilities[:, label] = 1 - rates[mine]
            noisy[mine] = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
        return noisy

    def warning(self, classes: int) -> str:
        """A remark, if the true class is the minority."""
        return minority_warning("instance-dependent", self.rate) if self.rate > 0.5 else ""


class RandomLabels(LabelNoise):
    """With probability ``share`` a label is drawn anew, uniformly: with 1 there is nothing left to learn.

    Zhang et al., arXiv 1611.03530.

    Args:
        share: in ``[0, 1]``.
    """

    def __init__(self, share: float = 1.0) -> None:
        check_finite(share=share)
        if not 0 <= share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {share}")
        self.share = share

    def corrupt(self, truth: TrueLabels, generator: torch.Generator) -> Tensor:
        noisy = truth.y.clone()
        chosen = torch.rand(len(noisy), generator=generator) < self.share
        noisy[chosen] = torch.randint(len(truth.names), (int(chosen.sum()),), generator=generator)
        return noisy


def check_rate(rate: float) -> float:
    """The rate; raises ``ValueError`` unless ``0 <= rate < 1``."""
    check_finite(rate=rate)
    if not 0 <= rate < 1:
        raise ValueError(f"the noise rate must lie in [0, 1), got {rate}")
    return rate


def redraw_labels(
    y: Tensor, classes: int, rate: float, generator: torch.Generator, include_true: bool = False
) -> Tensor:
    """A copy of ``y`` in which ``round(rate * n)`` labels, chosen at random, are drawn anew, uniformly.

    Returns ``y`` itself where nothing changes.

    Args:
        y: int64 ``(n,)``.
        classes: number of classes.
        rate: in ``[0, 1]``.
        generator: generator of all randomness.
        include_true: whether a new label may be the old one; else all that are chosen become wrong.
    """
    count = round(rate * len(y))
    if count == 0:
        return y
    chosen = torch.randperm(len(y), generator=generator)[:count]
    shift = torch.randint(0 if include_true else 1, classes, (count,), generator=generator)
    noisy = y.clone()
    noisy[chosen] = (y[chosen] + shift) % classes
    return noisy


def flip_share(y: Tensor, rate: float, targets: Tensor, generator: torch.Generator) -> Tensor:
    """A copy of ``y`` in which ``round(rate * n)`` of the samples of class ``k`` are ``targets[k]``."""
    noisy = y.clone()
    for label, target in enumerate(targets.tolist()):
        if target == label:
            continue
        mine = (y == label).nonzero().squeeze(1)
        chosen = torch.randperm(len(mine), generator=generator)[: round(rate * len(mine))]
        noisy[mine[chosen]] = target
    return noisy


def minority_warning(kind: str, rate: float) -> str:
    """A remark on noise that outnumbers the true labels."""
    return f"{kind} noise at rate {rate:g} makes the true class the minority: no method can recover it"
