"""Optimizers and learning-rate schedules that torch does not have as such."""

from regrun.optimizers.muon import MuonWithAdamW
from regrun.optimizers.schedules import constant, cosine, linear, multistep

__all__ = ["MuonWithAdamW", "constant", "cosine", "linear", "multistep"]
