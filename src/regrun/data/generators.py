"""The global random generators: Python's, numpy's and torch's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from regrun.ranges import check_seed


def seed_generators(seed: int) -> None:
    """Seed all of them; raises ``ValueError`` if there is no such seed."""
    check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """Where they are, of types that ``torch.load`` reads with ``weights_only``."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    own = np.random.get_state(legacy=False)
    states["numpy"] = {**own["state"], "key": torch.tensor(own["state"]["key"], dtype=torch.int64)}
    states["numpy"] |= {"has_gauss": own["has_gauss"], "gauss": own["gauss"]}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_generators(states: dict[str, Any]) -> None:
    """Restore the states from ``generator_states``; GPU states only if there are as many GPUs."""
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    own = states["numpy"]
    keys = own["key"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, own["pos"], own["has_gauss"], own["gauss"]))
    if "cuda" in states and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


@contextmanager
def untouched_generators() -> Iterator[None]:
    """Restore the generators after the block, whatever it draws."""
    python, numpy, here = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(here)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


def generator_of(seed: int) -> torch.Generator:
    """The generator of everything random about data.

    Raises:
        ValueError: if there is no such seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))
