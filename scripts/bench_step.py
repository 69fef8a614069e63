"""Time per optimization step: regrun against a plain PyTorch loop written with care.

Both train the same model on the same data with the same loss and fused AdamW, in one process,
alternating in short rounds, because a shared machine drifts; what is reported is the ratio of their median
step times, round by round. The plain loop does nothing but the step. regrun's step is the whole of it:
Lightning, the regularizers' moments, the check for Ctrl-C, the progress. Evaluations are left out of both;
``--with-evaluations`` puts them, with the experiment's probes, into regrun's time, as a share of it.

    python scripts/bench_step.py            # p = 113 and p = 31, softmax and StableMax
    python scripts/bench_step.py --start    # from the command's start to its first step
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from regrun.data import ModularArithmetic
from regrun.losses import StableMaxCrossEntropy
from regrun.models import MLP
from regrun.optimizers import constant
from regrun.probes import GradientAlignment, LogitScale, SoftmaxCollapse, WeightNorms
from regrun.procedures import Description, StopRequest
from regrun.procedures.training import SupervisedTraining, seed_generators

ADAMW = partial(torch.optim.AdamW, lr=0.01, betas=(0.9, 0.99), eps=1e-25, weight_decay=0.0, fused=True)
stablemax = StableMaxCrossEntropy()
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": F.cross_entropy,
    "stablemax": lambda z, y: stablemax(z, y).mean(),
}
WARM_UP = 10


class Clock(StopRequest):
    """A stop request that is never made, and notes when it was looked at: once a step."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def listen(self) -> None:
        """Leave Ctrl-C as it is."""

    @property
    def requested(self) -> bool:  # type: ignore[override]
        """Never."""
        self.ticks.append(time.perf_counter())
        return False


class BenchContext:
    """The least a procedure needs."""

    seed = 0
    data_dir = Path()
    trainer: Mapping[str, object] = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    checkpoint_seconds = 1e9
    skip_probes = False
    saved_state = None

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint.ckpt"
        self.clock = Clock()
        self.stop: StopRequest = self.clock

    def begin(self, description: Description) -> None:
        """Nothing to open."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Nothing to record."""

    def show(self, step: int, loss: float) -> None:
        """Nothing to show."""


def plain_steps(dataset: ModularArithmetic, loss_name: str, steps: int) -> list[float]:
    """When each step of the plain loop ended."""
    train = dataset.load(Path(), 0).train
    seed_generators(0)
    model = MLP(dataset.inputs, dataset.classes, bias=False)
    optimizer = ADAMW(model.parameters())
    loss_of = LOSSES[loss_name]
    ticks = [time.perf_counter()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model(train.x).logits, train.y).backward()
        optimizer.step()
        ticks.append(time.perf_counter())
    return ticks


def regrun_steps(
    dataset: ModularArithmetic, loss_name: str, steps: int, eval_every: int, with_probes: bool
) -> list[float]:
    """When each step of regrun ended, and each evaluation."""
    probes = [SoftmaxCollapse(), GradientAlignment(), WeightNorms(), LogitScale()] if with_probes else []
    training = SupervisedTraining(
        dataset=dataset,
        model=partial(MLP, bias=False),
        optimizer=ADAMW,
        schedule=constant,
        augmentations={},
        regularizers={"stablemax": StableMaxCrossEntropy()} if loss_name == "stablemax" else {},
        probes={type(probe).__name__: probe for probe in probes},
        steps=steps,
        eval_every=eval_every,
    )
    with tempfile.TemporaryDirectory() as folder:
        context = BenchContext(Path(folder))
        training(context)
    return context.clock.ticks


def median_step(ticks: list[float]) -> float:
    """The median time of a step, in milliseconds."""
    return 1e3 * statistics.median(b - a for a, b in pairwise(ticks[WARM_UP:]))


def start_to_first_step() -> float:
    """Seconds from a command's start, W&B offline included, to the record of its first step."""
    command = [sys.executable, "-m", "regrun.cli", "experiment=grokking", "steps=1", "eval_every=1"]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        environment = {**os.environ, "WANDB_MODE": "offline"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if any(
                "\n1," in file.read_text(encoding="utf-8")
                for file in Path(folder).glob("outputs/*/*/*/metrics.csv")
            ):
                seconds = time.perf_counter() - begun
                process.wait()
                return seconds
            time.sleep(0.005)
        raise SystemExit(f"the command failed: {' '.join(command)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modulus", type=int, nargs="*", default=[113, 31])
    parser.add_argument("--loss", nargs="*", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one side of a round takes")
    parser.add_argument("--with-evaluations", action="store_true")
    parser.add_argument("--start", action="store_true", help="measure the command's start instead")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.start:
        seconds = sorted(start_to_first_step() for _ in range(options.rounds))
        Console().print(
            f"start to first step: {seconds[0]:.1f} to {seconds[-1]:.1f} s, {options.rounds} rounds"
        )
        return
    torch.set_num_threads(options.threads)
    table = Table(title=f"{options.threads} threads, torch {torch.__version__}, {options.rounds} rounds")
    for column in ("p", "loss", "plain ms", "regrun ms", "ratio min", "median", "max"):
        table.add_column(column, justify="right")
    for modulus in options.modulus:
        dataset = ModularArithmetic(modulus)
        for loss_name in options.loss:
            probe_run = plain_steps(dataset, loss_name, WARM_UP + 20)
            steps = WARM_UP + max(50, int(1e3 * options.seconds / median_step(probe_run)))
            every = 50 if options.with_evaluations else steps
            plain, ours, ratios = [], [], []
            for _ in range(options.rounds):
                a = plain_steps(dataset, loss_name, steps)
                b = regrun_steps(dataset, loss_name, steps, every, options.with_evaluations)
                if options.with_evaluations:
                    plain.append(1e3 * (a[-1] - a[0]) / steps)
                    ours.append(1e3 * (b[-1] - b[0]) / steps)
                else:
                    plain.append(median_step(a))
                    ours.append(median_step(b))
                ratios.append(ours[-1] / plain[-1])
            figures = [statistics.median(plain), statistics.median(ours)]
            spread = [min(ratios), statistics.median(ratios), max(ratios)]
            table.add_row(
                str(modulus), loss_name, *(f"{v:.2f}" for v in figures), *(f"{r:.3f}" for r in spread)
            )
    Console().print(table)


if __name__ == "__main__":
    main()
