"""CIFAR-10 in seconds: regrun against an author's recipe and against a loop tuned by hand.

All train the same network on the same images with the same optimizer, schedule and augmentation, and are
asked for their test accuracy at the end; they alternate, seed by seed, in one process.

    recipe  what a repository of a paper has: torchvision transforms of single images, a DataLoader with one
            worker per core, float32
    tuned   what a speed record has: images on the device as one tensor, augmented and normalized an epoch
            at a time, bfloat16 autocast where the hardware has it, channels last, nothing else
    regrun  ``SupervisedTraining`` with ``trainer.precision=auto``

Reported are images per second of training, the ratio of the times, and the difference of the accuracies with
its 95 % interval over seeds. Evaluations are left out of the times.

    python scripts/bench_cifar.py --data DIR
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from bench_step import BenchContext
from regrun.augmentations import HorizontalFlip, RandomCrop
from regrun.data import CIFAR10, CleanLabels, OriginalPixels, Splits
from regrun.models import FastResNet
from regrun.optimizers import cosine
from regrun.procedures.trainer import chosen_precision
from regrun.procedures.training import SupervisedTraining, seed_generators

BATCH = 128
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=5e-4)
PADDING = 4


def make_model(data: CIFAR10, widths: list[int]) -> nn.Module:
    """The network that all three train."""
    return FastResNet(data.inputs, data.classes, widths, stem=2)


class SingleImages(TorchDataset[tuple[Tensor, int]]):
    """Images as an author's repository reads them: one at a time, through transforms."""

    def __init__(self, x: Tensor, y: Tensor, data: CIFAR10, augmented: bool) -> None:
        self.images = [v2.functional.to_pil_image(image) for image in x]
        self.y = y.tolist()
        changes = [v2.RandomCrop(32, padding=PADDING), v2.RandomHorizontalFlip()] if augmented else []
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        normalize = v2.Normalize(data.inputs.mean, data.inputs.std)
        self.transform = v2.Compose([*changes, *to_tensor, normalize])

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.y[index]


def recipe(data: CIFAR10, splits: Splits, widths: list[int], epochs: int, seed: int) -> tuple[float, float]:
    """An author's repository: seconds and test accuracy."""
    train = SingleImages(splits.train.x, splits.train.y, data, augmented=True)
    test = SingleImages(splits.test.x, splits.test.y, data, augmented=False)
    torch.manual_seed(seed)
    model = make_model(data, widths)
    workers = torch.get_num_threads()
    begun = time.perf_counter()
    batches = DataLoader(train, BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
    optimizer = SGD(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    for _ in range(epochs):
        for x, y in batches:
            loss = F.cross_entropy(model(x).logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - begun
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in DataLoader(test, 500, num_workers=workers):
            right += int((model(x).logits.argmax(1) == y).sum())
    return seconds, right / len(test)


def tuned(data: CIFAR10, splits: Splits, widths: list[int], epochs: int, seed: int) -> tuple[float, float]:
    """A loop tuned by hand: seconds and test accuracy."""
    torch.manual_seed(seed)
    model = make_model(data, widths).to(memory_format=torch.channels_last)
    half = chosen_precision({"precision": "auto", "accelerator": "cpu"}) == "bf16-mixed"
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=half)
    crop, flip = RandomCrop(PADDING), HorizontalFlip()
    begun = time.perf_counter()
    n = len(splits.train)
    steps = epochs * -(-n // BATCH)
    optimizer = SGD(model.parameters(), fused=True)
    factor = cosine(steps)
    step = 0
    for _ in range(epochs):
        x = data.inputs.prepare(flip(crop(splits.train.x)))
        order = torch.randperm(n)
        for index in order.split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = SGD.keywords["lr"] * factor(step)
            with autocast():
                loss = F.cross_entropy(model(x[index]).logits, splits.train.y[index])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    seconds = time.perf_counter() - begun
    model.eval()
    right = 0
    with torch.no_grad(), autocast():
        for images, y in zip(splits.test.x.split(1000), splits.test.y.split(1000), strict=True):
            right += int((model(data.inputs.prepare(images)).logits.argmax(1) == y).sum())
    return seconds, right / len(splits.test)


def with_regrun(
    data_dir: Path, data: CIFAR10, splits: Splits, widths: list[int], epochs: int, seed: int
) -> tuple[float, float]:
    """regrun: seconds and test accuracy."""
    steps = epochs * -(-len(splits.train) // BATCH)
    training = SupervisedTraining(
        dataset=data,
        model=lambda **_: make_model(data, widths),
        optimizer=lambda named: SGD([p for _, p in named], fused=True),
        schedule=cosine,
        augmentations={"crop": RandomCrop(PADDING), "flip": HorizontalFlip()},
        regularizers={},
        probes={},
        steps=steps,
        eval_every=steps,
        batch_size=BATCH,
    )
    with tempfile.TemporaryDirectory() as folder:
        context = BenchContext(Path(folder))
        context.seed = seed
        context.data_dir = data_dir
        context.trainer = {**context.trainer, "precision": "auto"}
        seed_generators(seed)
        metrics = training(context)
        ticks = context.clock.ticks[:steps]  # one after each step; a further one after the evaluation
        return (ticks[-1] - ticks[0]) * steps / (steps - 1), metrics["test_accuracy"]


def main() -> None:
    """Run every contender with every seed, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="where the files of CIFAR-10 lie")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    options = parser.parse_args()
    data = CIFAR10(CleanLabels(), OriginalPixels(), train_limit=options.images, test_limit=5000)
    contenders: dict[str, Callable[..., tuple[float, float]]] = {
        "recipe": recipe,
        "tuned": tuned,
        "regrun": partial(with_regrun, options.data),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for seed in range(options.seeds):
        splits = data.load(options.data, seed)
        for name, run in contenders.items():
            found[name].append(run(data, splits, options.widths, options.epochs, seed))
    console = Console()
    parameters = sum(p.numel() for p in make_model(data, options.widths).parameters())
    console.print(
        f"{options.images:,} images, {options.epochs} epochs, {parameters:,} parameters, "
        f"{torch.get_num_threads()} threads, {chosen_precision({'precision': 'auto', 'accelerator': 'cpu'})}"
    )
    table = Table(
        "", "images/s", "seconds", "accuracy", "regrun's speed, as a multiple", "regrun's accuracy, less its"
    )
    for name, runs in found.items():
        seconds = [s for s, _ in runs]
        ratios = [theirs / ours for (theirs, _), (ours, _) in zip(runs, found["regrun"], strict=True)]
        gaps = [ours - theirs for (_, theirs), (_, ours) in zip(runs, found["regrun"], strict=True)]
        gap = statistics.mean(gaps)
        reach = stats.t.ppf(0.975, len(gaps) - 1) * stats.sem(gaps) if len(gaps) > 1 else float("nan")
        table.add_row(
            name,
            f"{options.images * options.epochs / statistics.median(seconds):,.0f}",
            f"{statistics.median(seconds):.1f}",
            f"{statistics.mean(a for _, a in runs):.3f}",
            "" if name == "regrun" else f"{statistics.median(ratios):.2f}",
            "" if name == "regrun" else f"{gap:+.3f} ± {reach:.3f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
