"""Procedures: what a run does, usually training."""

from regrun.contracts.procedure import Context, Description, Procedure, Stage
from regrun.contracts.stopping import StoppedError, StopRequest

__all__ = ["Context", "Description", "Procedure", "Stage", "StopRequest", "StoppedError"]
