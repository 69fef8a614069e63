"""*Similarity-Distance-Magnitude Universal Verification*: a last layer that knows what it was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from torch import Tensor, nn

from regrun.contracts.inputs import Images
from regrun.contracts.procedure import Context, Stage
from regrun.contracts.samples import Samples, Splits
from regrun.data.base import Dataset
from regrun.measures.share import share
from regrun.models.head import linear_head
from regrun.probes.temperature_scaling import fit_temperature
from regrun.procedures.after_training import AfterTraining
from regrun.procedures.evaluation import features_of
from regrun.procedures.training import SupervisedTraining
from regrun.tasks.supervised import Supervised

MOST_NEIGHBOURS = 200
LEVEL = 0.95
FOREIGN = ("cifar", "shuffled")


@dataclass(frozen=True)
class Neighbourhood:
    """How a point lies among the training points.

    Attributes:
        similarity: ``q``, how many of the nearest neighbours, from the first on, have the point's predicted
            class as their label and as their own prediction, ``(n,)``.
        distance: distance to the nearest point, ``(n,)``.
    """

    similarity: Tensor
    distance: Tensor


@torch.no_grad()
def neighbourhood(h: Tensor, z: Tensor, support: Tensor, known: Tensor, skip_self: bool) -> Neighbourhood:
    """The position of points relative to the training points.

    Args:
        h: exemplar vectors, ``(n, width)``.
        z: their logits, ``(n, classes)``.
        support: exemplar vectors of the training points.
        known: the class that each is both labelled with and predicted as, ``-1`` where these differ.
        skip_self: whether the points are the training points, whose nearest neighbour is themselves.
    """
    most = min(MOST_NEIGHBOURS + skip_self, len(support))
    similarity, distance = [], []
    for part, predicted in zip(h.split(1000), z.argmax(1).split(1000), strict=True):
        near = torch.cdist(part, support).topk(most, largest=False)
        agrees = known[near.indices] == predicted[:, None]
        similarity.append(agrees[:, skip_self:].cumprod(1).sum(1).double())
        distance.append(near.values[:, int(skip_self)].double())
    return Neighbourhood(torch.cat(similarity), torch.cat(distance))


class DistanceQuantile:
    """``d``, the share of points of a class that lie further from the training points; least over classes.

    Args:
        around: how the points of reference lie; those with ``q = 0`` do not count.
        y: their labels.
        classes: number of classes.
    """

    def __init__(self, around: Neighbourhood, y: Tensor, classes: int) -> None:
        inside = around.similarity > 0
        self.reference = [around.distance[inside & (y == c)].sort().values for c in range(classes)]

    def __call__(self, distance: Tensor) -> Tensor:
        """In ``[0, 1]``, ``(n,)``; 0 if a class has no points of reference."""
        shares = [
            1 - torch.searchsorted(found, distance).double() / len(found)
            if len(found)
            else torch.zeros_like(distance)
            for found in self.reference
        ]
        return torch.stack(shares).amin(0)


def sdm(z: Tensor, similarity: Tensor, quantile: Tensor) -> Tensor:
    """``log SDM(z)``: log-softmax of ``d z log(2 + q)``, ``(n, classes)``."""
    return (z * (quantile * (2 + similarity).log()).to(z)[:, None]).log_softmax(1)


@dataclass(frozen=True)
class Region:
    """The points whose predictions are held to be reliable.

    Attributes:
        least: the smallest rescaled similarity, infinite if there is no such region.
        thresholds: threshold of the predicted class's SDM output, ``(classes,)``.
    """

    least: float
    thresholds: Tensor

    def admits(self, p: Tensor, similarity: Tensor) -> Tensor:
        """Whether each point is within, ``(n,)``."""
        top, predicted = p.max(1)
        enough = rescaled_similarity(top, similarity) >= self.least
        return enough & (similarity > 0) & (top >= self.thresholds[predicted])


def rescaled_similarity(top: Tensor, similarity: Tensor) -> Tensor:
    """``min(q, (2 + q)^p)`` with the predicted class's SDM output ``p``."""
    return torch.minimum(similarity, (2 + similarity) ** top)


def find_region(p: Tensor, similarity: Tensor, y: Tensor, level: float = LEVEL) -> Region:
    """The largest region in which SDM outputs of the true class are at least ``level``, nearly always.

    Of points with at least a rescaled similarity, a class's threshold is the ``1 - level`` quantile of the
    SDM outputs that its points give to it; the similarity is the smallest at which all thresholds reach
    ``level``. As in the authors' code.

    Args:
        p: SDM outputs of calibration points, ``(n, classes)``.
        similarity: ``q``, ``(n,)``.
        y: labels.
        level: wanted accuracy.
    """
    own = p.gather(1, y[:, None]).squeeze(1)
    rescaled = rescaled_similarity(p.amax(1), similarity)
    inside = similarity > 0
    for least in rescaled[inside].unique().tolist():
        chosen = inside & (rescaled >= least)
        groups = [own[chosen & (y == c)] for c in range(p.shape[1])]
        if any(len(group) == 0 for group in groups):
            break
        thresholds = torch.stack([group.quantile(1 - level) for group in groups])
        if (thresholds >= level).all():
            return Region(least, thresholds)
    return Region(math.inf, torch.full((p.shape[1],), math.inf, dtype=p.dtype))


class Exemplars(nn.Module):
    """An adaptor of frozen features, and a linear head on it.

    Args:
        features: number of input features.
        width: width of the exemplar vectors.
        classes: number of classes.
    """

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.adaptor = nn.Linear(features, width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Exemplar vectors and logits."""
        h = self.adaptor(x)
        return h, self.head(h)


class Verification(AfterTraining):
    """Trains an SDM layer on frozen features, and asks what it would stand for on strange images.

    Of each set, ``admitted/METHOD.SET`` is the share of images that a method admits, ``accuracy/METHOD.SET``
    its accuracy on them (``nan`` where it admits none). Methods: the trained network's ``softmax`` at 0.95 or
    more, the same after temperature scaling (``scaled``), and the ``sdm`` layer's region of high reliability,
    found on the validation split. Sets: the test images, as they are, turned by 30 and 60 degrees, with
    Gaussian noise of half the range; and foreign ones, of another dataset in grey and with shuffled pixels.
    ``foreign_admitted/METHOD`` is the mean over the last two. Schmaltz, arXiv 2502.20167.

    Args:
        training: the network whose features are frozen; its dataset has a validation split.
        foreign: a dataset of larger images in colour.
        width: width of the exemplar vectors.
        epochs: training epochs of the layer; neighbours are updated after each.
        batch: samples of a step.
        lr: Adam's learning rate.
    """

    own = ("admitted", "accuracy", "foreign_admitted")

    def __init__(
        self,
        training: SupervisedTraining,
        foreign: Dataset,
        width: int = 64,
        epochs: int = 10,
        batch: int = 128,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(training)
        if min(width, epochs, batch) < 1 or lr <= 0:
            raise ValueError("width, epochs and batch must be at least 1, and lr above 0")
        if not training.dataset.validation:
            raise ValueError("thresholds are found on a validation split; set dataset.validation")
        if not all(isinstance(dataset.inputs, Images) for dataset in (training.dataset, foreign)):
            raise ValueError("strange images are made of images; choose dataset=mnist")
        self.foreign = foreign
        self.width = width
        self.epochs = epochs
        self.batch = batch
        self.lr = lr

    def measure(self, task: Supervised, splits: Splits, stage: Stage, context: Context) -> dict[str, float]:
        """Train the layer, and look."""
        assert splits.validation is not None
        torch.manual_seed(context.seed)
        train = features_of(task, splits.train)
        layer = Exemplars(train.z.shape[1], self.width, task.classes)
        x, y = train.z.float(), train.y
        self.fit(layer, x, y, context)
        with torch.no_grad():
            support, z = layer(x)
            known = torch.where(z.argmax(1) == y, y, -1)

        def look(features: Tensor) -> tuple[Tensor, Neighbourhood]:
            with torch.no_grad():
                h, z = layer(features.float())
            return z, neighbourhood(h, z, support, known, skip_self=False)

        held = features_of(task, splits.validation)
        z, around = look(held.z)
        distances = DistanceQuantile(around, held.y, task.classes)
        p = sdm(z.double(), around.similarity, distances(around.distance)).exp()
        region = find_region(p, around.similarity, held.y)
        head = deepcopy(linear_head(task.model)).double()
        with torch.no_grad():
            temperature = fit_temperature(head(held.z), held.y)

        foreign = self.foreign.load(context.data_dir, context.seed).test
        row: dict[str, float] = {}
        for name, samples in strange(splits.test, foreign, context.seed).items():
            seen = features_of(task, samples)
            z, around = look(seen.z)
            p = sdm(z.double(), around.similarity, distances(around.distance)).exp()
            with torch.no_grad():
                logits = head(seen.z)
            plain, scaled = logits.softmax(1), (logits / temperature).softmax(1)
            for method, probabilities, admitted in (
                ("softmax", plain, plain.amax(1) >= LEVEL),
                ("scaled", scaled, scaled.amax(1) >= LEVEL),
                ("sdm", p, region.admits(p, around.similarity)),
            ):
                row[f"admitted/{method}.{name}"] = float(share(admitted, probabilities))
                if name not in FOREIGN:
                    right = (probabilities.argmax(1) == samples.y)[admitted]
                    row[f"accuracy/{method}.{name}"] = float(right.double().mean())
        for method in ("softmax", "scaled", "sdm"):
            found = [row[f"admitted/{method}.{name}"] for name in FOREIGN]
            row[f"foreign_admitted/{method}"] = sum(found) / len(found)
        return row

    def fit(self, layer: Exemplars, x: Tensor, y: Tensor, context: Context) -> None:
        """Train on features ``(n, width)`` and labels."""
        optimizer = torch.optim.Adam(layer.parameters(), self.lr, fused=True)
        similarity = torch.full((len(x),), math.e - 2, dtype=torch.float64)
        quantile = torch.ones(len(x), dtype=torch.float64)
        for _ in range(self.epochs):
            context.stop.check()
            for part in torch.randperm(len(x)).split(self.batch):
                _, z = layer(x[part])
                log_p = sdm(z, similarity[part], quantile[part])
                base = (2 + similarity[part]).log().to(z)
                loss = (F.nll_loss(log_p, y[part], reduction="none") / base).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                h, z = layer(x)
            known = torch.where(z.argmax(1) == y, y, -1)
            around = neighbourhood(h, z, h, known, skip_self=True)
            similarity = around.similarity
            quantile = DistanceQuantile(around, y, z.shape[1])(around.distance)


def strange(test: Samples, foreign: Samples, seed: int) -> Mapping[str, Samples]:
    """The test images changed, and foreign ones of their size; the labels of foreign ones are -1."""
    generator = torch.Generator().manual_seed(seed)
    side = test.x.shape[-1]
    noise = 127.5 * torch.randn(test.x.shape, generator=generator)
    order = torch.randperm(side * side, generator=generator)
    grey = TF.resize(TF.rgb_to_grayscale(foreign.x), [side, side], antialias=True)
    nothing = torch.full_like(test.y, -1)
    shuffled = test.x.flatten(2)[..., order].view_as(test.x)
    return {
        "test": test,
        "rotated_30": _changed(test, TF.rotate(test.x, 30)),
        "rotated_60": _changed(test, TF.rotate(test.x, 60)),
        "noisy": _changed(test, (test.x + noise).clamp(0, 255).byte()),
        "cifar": Samples(_last(grey), nothing[:1].expand(len(grey)), nothing[:1].expand(len(grey))),
        "shuffled": Samples(_last(shuffled), nothing, nothing),
    }


def _changed(samples: Samples, x: Tensor) -> Samples:
    return Samples(_last(x), samples.y, samples.clean)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
