"""Loggers: send metrics elsewhere, besides the record."""

from regrun.loggers.base import Logger, Publication, RunInfo
from regrun.loggers.wandb import WandbLogger

__all__ = ["Logger", "Publication", "RunInfo", "WandbLogger"]
