"""Loggers: where metrics go besides the record, which always has them."""

from regrun.loggers.base import Logger, Publication, RunInfo
from regrun.loggers.wandb import WandbLogger

__all__ = ["Logger", "Publication", "RunInfo", "WandbLogger"]
