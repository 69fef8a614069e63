"""Many runs of a small model: one by one with all threads, packed on the cores, and as one stacked model.

    python scripts/bench_seeds.py --runs 32 --modulus 31 59 113

Whole commands in turns, each into a folder of its own; of the rounds of a modulus the medians are compared.
The time between the start of a command and its first run (imports) is part of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

RUN = (
    "experiment=grokking",
    "regularizer=stablemax",
    "logger=csv",
    "eval_every=500",
    "checkpoint_seconds=600",
)


def main() -> None:
    """Print seconds for each modulus, and how many times as fast as one by one each way is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--modulus", type=int, nargs="+", default=[31, 59, 113])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="one by one and stacked, on a GPU")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    ways = {
        "one by one": [f"trainer.threads={cores}"],
        "packed": ["hydra/launcher=packed"],
        "stacked": [f"trainer.threads={cores}", "engine=vmap"],
    }
    if options.gpu:
        ways = {"one by one": ["trainer=gpu", "engine=one_by_one"], "stacked": ["trainer=gpu", "engine=vmap"]}
    print("modulus  " + "  ".join(f"{way:>20}" for way in ways))
    for modulus in options.modulus:
        words = [*RUN, f"steps={options.steps}", f"dataset.modulus={modulus}"]
        words.append("seed=" + ",".join(map(str, range(options.runs))))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(timed([*words, *way]))
        middle = {name: median(found) for name, found in seconds.items()}
        first = middle["one by one"]
        cells = (f"{taken:8.1f} s {first / taken:5.2f} ×" for taken in middle.values())
        print(f"{modulus:7}  " + "  ".join(f"{cell:>20}" for cell in cells), flush=True)


def timed(words: list[str]) -> float:
    """Seconds that a sweep takes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "regrun.cli", "-m", *words, f"outputs={folder}"]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin


if __name__ == "__main__":
    main()
