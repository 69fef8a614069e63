"""What probes cost: the time of a measurement, in training steps, and its share of a run's time.

Each probe measures a network with its own defaults, alternating with training steps in one process; what is
reported is medians. The share is that of a run with ``eval_every`` steps between evaluations, at the pace
that the probe's config sets.

    python scripts/bench_probes.py --data DIR       # an MLP on 2000 images of MNIST
    python scripts/bench_probes.py --data DIR --model small_cnn --eval-every 200
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table

from regrun.config.catalogue import components
from regrun.config.composing import compose_config, plain_config
from regrun.data.generators import seed_generators
from regrun.probes import Probe, ProbeError
from regrun.runs.building import build
from regrun.tasks.supervised import Supervised

EXPERIMENT = (
    "experiment=custom",
    "dataset=mnist",
    "dataset.train_limit=2000",
    "dataset.test_limit=2000",
    "batch_size=64",
    "logger=csv",
)


def main() -> None:
    """Time every probe that can measure the model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("REGRUN_DATA", "data")))
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--eval-every", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    names = [entry.name for entry in components() if entry.group == "probe" and entry.name != "none"]
    table = Table(
        Column("probe", no_wrap=True), "a measurement, ms", "in steps", "every", "share of the time"
    )
    words = [*EXPERIMENT, f"model={options.model}"]
    for name in names:
        config = plain_config(compose_config([*words, f"probe={name}"]))
        found = measure(config, options.data, options.rounds)
        if found is None:
            continue
        seconds, step, every = found
        share = seconds / (seconds + step * options.eval_every * every)
        table.add_row(name, f"{seconds * 1e3:.1f}", f"{seconds / step:.0f}", str(every), f"{share:.1%}")
    console = Console()
    console.print(table)
    console.print(
        f"model {options.model}, a step {step * 1e3:.2f} ms, {options.eval_every} steps between evaluations"
    )


def measure(config: dict[str, object], data: Path, rounds: int) -> tuple[float, float, int] | None:
    """Medians of the time of a measurement and of a training step, and the probe's pace.

    ``None`` where the model cannot be measured.
    """
    procedure, _ = build(config)
    splits = procedure.dataset.load(data, 0)  # type: ignore[attr-defined]
    seed_generators(0)
    task: Supervised = procedure.build(splits, 0, lambda step, metrics: None)  # type: ignore[attr-defined]
    try:
        task.attach_probes("32-true", skip=False)
    except ProbeError:
        return None
    task.configure_optimizers()
    (probe,) = task.probes.values()
    assert isinstance(probe, Probe)
    stream = iter(batches(task))
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):  # the first round warms up
        begin = time.perf_counter()
        observe(task, probe)
        middle = time.perf_counter()
        for _ in range(10):
            step(task, next(stream))
        taken[0].append(middle - begin)
        taken[1].append((time.perf_counter() - middle) / 10)
    measured, stepped = (statistics.median(times[1:]) for times in taken)
    return measured, stepped, probe.every


def batches(task: Supervised):  # type: ignore[no-untyped-def]
    """Training batches without end."""
    from regrun.data.stream import BatchStream

    return BatchStream(task.splits.train, task.batch_size, task.seed)


def step(task: Supervised, batch: object) -> None:
    """One optimization step."""
    task.train()
    task.optimizer.zero_grad()
    task.objective(batch, 0).backward()  # type: ignore[arg-type]
    task.optimizer.step()


def observe(task: Supervised, probe: Probe) -> None:
    """What an evaluation spends on the probe: not the pass over the split, which is there without it."""
    from regrun.contracts.output import as_output
    from regrun.data.stream import BatchList

    samples = task.splits.named[probe.split]
    if type(probe).update is not Probe.update:
        with torch.no_grad():
            for batch in BatchList(samples, task.evaluation_batch):
                output = as_output(task.model(task.inputs.prepare(batch.x)))
                probe.update(batch, output, samples.clean[batch.index])
    if any(w.grad is not None for w in task.model.parameters()):
        probe.on_gradient(task)
        probe.on_edited_gradient(task)
    probe.compute(task)


if __name__ == "__main__":
    main()
