"""Measures how many parallel runs, with how many threads each, are fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

SECONDS = 0.7  # of a trial
WORTH = 20.0  # least total seconds of work for which a second trial pays
CLEARLY = 1.05  # speedup that more threads per run must reach

Measure = Callable[[Mapping[str, Any], int, int], float]


def choose_threads(config: Mapping[str, Any], runs: int, cores: int, measure: Measure) -> tuple[int, int]:
    """The fastest number of parallel runs, and the threads of each.

    Args:
        config: resolved config of one run.
        runs: number of runs.
        cores: number of available cores.
        measure: total steps per second for a number of parallel runs and threads each; 0 if unknown.
    """
    ways = [(min(cores // threads, runs), threads) for threads in powers_of_two(cores)]
    best, fastest = ways[0], 0.0
    for way in ways:
        speed = measure(config, *way)
        if speed > fastest * CLEARLY:
            best, fastest = way, speed
        if speed == 0 or int(config["steps"]) * runs / speed < WORTH:
            break
    return best


def powers_of_two(most: int) -> list[int]:
    """1, 2, 4, ..., ``most``."""
    return sorted({min(2**k, most) for k in range(most.bit_length() + 1)})


def steps_per_second(config: Mapping[str, Any], threads: int, seconds: float = SECONDS) -> float:
    """Training steps per second of a run in this process; 0 if it is not a single training on a CPU.

    Args:
        config: the run's resolved config.
        threads: number of threads.
        seconds: duration of the measurement.
    """
    from pathlib import Path

    import torch

    from regrun.data.generators import untouched_generators
    from regrun.data.stream import BatchStream
    from regrun.procedures.trainer import chosen_precision
    from regrun.procedures.training import SupervisedTraining
    from regrun.runs.building import build_procedure

    if config["trainer"]["accelerator"] != "cpu":
        return 0.0
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with untouched_generators():
            procedure = build_procedure(config)
            if type(procedure) is not SupervisedTraining:
                return 0.0
            splits = procedure.dataset.load(Path(config["data_dir"]), int(config["seed"]))
            task = procedure.build(splits, int(config["seed"]), lambda step, metrics: None)
            optimizer = task.make_optimizer(task.named_parameters())
            half = chosen_precision(config["trainer"]) == "bf16-mixed"
            begin = 0.0
            for steps, batch in enumerate(BatchStream(splits.train, procedure.batch_size, 0)):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    loss = task.objective(batch, 0)
                loss.backward()
                optimizer.step()
                now = time.perf_counter()
                if steps == 0:
                    begin = now  # the first step also sets up
                elif now - begin > seconds:
                    return steps / (now - begin)
    except Exception:  # the run itself will say what is wrong with it
        return 0.0
    finally:
        torch.set_num_threads(before)
    return 0.0
