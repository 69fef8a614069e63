"""Optimizers and learning-rate schedules that torch does not have as such."""

from regrun.optimizers.muon import MuonWithAdamW
from regrun.optimizers.schedules import (
    constant,
    cosine,
    cosine_rewarmed,
    inverse_decay,
    linear,
    multistep,
)
from regrun.optimizers.two_stage import cosine_then_constant

__all__ = [
    "MuonWithAdamW",
    "constant",
    "cosine",
    "cosine_rewarmed",
    "cosine_then_constant",
    "inverse_decay",
    "linear",
    "multistep",
]
