"""How many runs at a time, with how many threads each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from conftest import SMOKE
from regrun.config.composing import compose_config, plain_config
from regrun.launchers.trial import choose_threads, powers_of_two, steps_per_second


@pytest.mark.parametrize(
    ("speeds", "runs", "steps", "chosen"),
    [
        ({(8, 1): 80.0, (4, 2): 70.0, (2, 4): 50.0, (1, 8): 30.0}, 100, 10_000, (8, 1)),
        ({(8, 1): 40.0, (4, 2): 70.0, (2, 4): 90.0, (1, 8): 30.0}, 100, 10_000, (2, 4)),
        ({(8, 1): 80.0, (4, 2): 82.0, (2, 4): 50.0, (1, 8): 30.0}, 100, 10_000, (8, 1)),  # not clearly
        ({(2, 1): 20.0, (2, 2): 38.0, (2, 4): 50.0, (1, 8): 40.0}, 2, 10_000, (2, 4)),  # fewer than cores
        ({(8, 1): 80.0}, 16, 10, (8, 1)),  # two seconds for all: no second trial
        ({(8, 1): 0.0}, 100, 10_000, (8, 1)),  # it cannot be told
    ],
)
def test_what_is_fastest_is_chosen(
    speeds: dict[tuple[int, int], float], runs: int, steps: int, chosen: tuple[int, int]
) -> None:
    tried = []

    def measure(config: Mapping[str, Any], workers: int, threads: int) -> float:
        tried.append((workers, threads))
        return speeds[workers, threads]

    assert choose_threads({"steps": steps}, runs, 8, measure) == chosen
    assert tried == list(speeds)


def test_threads_are_powers_of_two_and_all_cores() -> None:
    assert powers_of_two(1) == [1]
    assert powers_of_two(2) == [1, 2]
    assert powers_of_two(6) == [1, 2, 4, 6]
    assert powers_of_two(8) == [1, 2, 4, 8]


def test_a_trial_counts_steps_and_leaves_no_trace() -> None:
    config = plain_config(compose_config(list(SMOKE)))
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert steps_per_second(config, 1, 0.05) > 10
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_what_cannot_be_tried_is_not() -> None:
    on_gpu = plain_config(compose_config([*SMOKE, "trainer=gpu"]))
    study = plain_config(
        compose_config(
            ["experiment=gumbel_softmax", "scale=smoke", "procedure=gumbel_softmax/gumbel_sampling"]
        )
    )
    assert steps_per_second(on_gpu, 1, 0.05) == steps_per_second(study, 1, 0.05) == 0
